"""How far the test days are from the training days, column by column: Evidently, its only home."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pipelines.errors import DataError
from pipelines.gate.evidence import Drift, Drifts
from pipelines.paths import ETL
from pipelines.split import TEST, TRAIN
from pipelines.stores.sessions import read_json

ROWS = 50_000
"""Events of each side that are compared, drawn by chance: the index needs no more, and Evidently's time is bounded."""
SEED = 20
LENGTH = "session_length"

Column = tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]
"""Training days, test days."""

os.environ.setdefault("DO_NOT_TRACK", "1")


def measure(names: Sequence[str]) -> Drifts:
    """The columns of data/etl that there are, and which are not. DataError if a file cannot be read."""
    described = read_json(ETL / "schema.json").get("columns", {})
    there = [name for name in names if name in described or name == LENGTH]
    columns = read(there)
    categories = {name for name in there if described.get(name, {}).get("role") == "categorical"}
    return Drifts(compared(columns, categories), tuple(name for name in names if name not in there))


def read(names: Sequence[str]) -> dict[str, Column]:
    """Values of each column on the training and on the test days; a session's length once for each session."""
    try:
        offsets, split = np.load(ETL / "offsets.npy", allow_pickle=False), np.load(ETL / "split.npy", allow_pickle=False)
        values = {name: np.load(ETL / f"columns/{name}.npy", allow_pickle=False) for name in names if name != LENGTH}
    except (OSError, ValueError) as error:
        raise DataError("the sessions cannot be read", f"{ETL}: {error}", "run etl (dvc repro etl)") from None
    lengths = np.diff(offsets)
    of_event = np.repeat(split, lengths)
    whole = {name: (values[name], of_event) if name in values else (lengths, split) for name in names}
    return {name: (column[side == TRAIN], column[side == TEST]) for name, (column, side) in whole.items()}


def compared(columns: Mapping[str, Column], categories: set[str]) -> tuple[Drift, ...]:
    """Population stability index of every column, Kolmogorov-Smirnov of those that are no categories."""
    if not columns:
        return ()
    from evidently import DataDefinition, Dataset, Report  # four seconds
    from evidently.metrics import ValueDrift

    found = []
    for name, sides in columns.items():
        is_category = name in categories
        kind = {"categorical_columns" if is_category else "numerical_columns": [name]}
        training, test = (Dataset.from_pandas(_frame(name, side, is_category), DataDefinition(**kind)) for side in sides)
        methods = ("psi",) if is_category else ("psi", "ks")
        told = Report([ValueDrift(column=name, method=method) for method in methods]).run(test, training).dict()["metrics"]
        values = {one["config"]["method"]: float(one["value"]) for one in told}
        found.append(Drift(name, values["psi"], values.get("ks")))
    return tuple(found)


def _frame(name: str, values: npt.NDArray[np.generic], is_category: bool):  # type: ignore[no-untyped-def]
    import pandas as pd

    if len(values) > ROWS:
        values = np.random.default_rng(SEED).choice(values, ROWS, replace=False)
    return pd.DataFrame({name: values.astype(str) if is_category else values.astype(np.float64)})
