"""What the numbers of a column stand for, as etl fitted them: kept with the weights, for who reads the column again.

A newer etl has other statistics and gives other indices. `translate` makes its columns mean what the model has learned:
an index goes through the value it stands for, a number through its mean and standard deviation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, PositiveFloat

from pipelines.errors import DataError
from pipelines.features import FIRST_VALUE, NULL, PADDING, RARE, UNSEEN

AGAIN = "run etl again (dvc repro etl); data/etl is written as a whole"
SHOWN = {NULL: "null", UNSEEN: "unseen", RARE: "rare"}


class Meaning(BaseModel):
    """One column."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Literal["time", "categorical", "continuous"]
    values: tuple[str, ...] = ()
    """categorical: the texts of the indices FIRST_VALUE, FIRST_VALUE + 1, ..."""
    rare: tuple[str, ...] = ()
    """categorical: texts that share the index RARE."""
    mean: float = 0.0
    """continuous: what was subtracted."""
    std: PositiveFloat = 1.0
    """continuous: what it was then divided by."""

    def index(self, text: str | None) -> int:
        """The index of a value; of one that the model has never seen, UNSEEN."""
        if text is None:
            return NULL
        if text in self.values:
            return FIRST_VALUE + self.values.index(text)
        return RARE if text in self.rare else UNSEEN

    def text(self, index: int) -> str:
        """What an index stands for, for people."""
        return repr(self.values[index - FIRST_VALUE]) if index >= FIRST_VALUE else SHOWN[index]


def read(columns: Iterable[str], described: Mapping[str, Any], folder: Path) -> dict[str, Meaning]:
    """Of these columns of data/etl, which schema.json describes so. DataError if the values of one are not there."""
    return {name: _meaning(described[name], folder / f"values/{name}.parquet") for name in columns}


def _meaning(described: dict[str, Any], values: Path) -> Meaning:
    if described["role"] != "categorical":
        return Meaning.model_validate(described)
    try:
        rows = pl.read_parquet(values, columns=["index", "value"]).sort("index", maintain_order=True)
    except (FileNotFoundError, pl.exceptions.PolarsError) as error:
        why = f"{values}: {' '.join(str(error).split())[:200]}"
        raise DataError("the values of a column cannot be read", why, AGAIN) from None
    kept, rare = rows.filter(pl.col("index") >= FIRST_VALUE), rows.filter(index=RARE)
    if kept["index"].to_list() != list(range(FIRST_VALUE, described["cardinality"])):
        what = f"there are {kept.height:,} values, the column's indices end at {described['cardinality'] - 1:,}"
        raise DataError(what, str(values), AGAIN)
    return Meaning(role="categorical", values=tuple(kept["value"]), rare=tuple(rare["value"]))


def translate(values: npt.NDArray[Any], here: Meaning, there: Meaning) -> npt.NDArray[Any]:
    """A column that means `here`, as one that means `there`.

    What is merged here stays merged: rare values are RARE there, even if one has an index of its own. A number of 0 is
    kept: it stands for null.
    """
    if here == there or here.role == "time":
        return values
    if here.role == "categorical":
        known = {text: FIRST_VALUE + position for position, text in enumerate(there.values)} | dict.fromkeys(there.rare, RARE)
        table = [PADDING, NULL, UNSEEN, RARE, *(known.get(text, UNSEEN) for text in here.values)]
        indices: npt.NDArray[Any] = np.array(table, np.int32)[values]
        return indices
    moved = (values.astype(np.float64) * here.std + here.mean - there.mean) / there.std
    return np.where(values == 0, 0, moved).astype(np.float32)
