"""How the training went, from what it left: the losses of history.csv, the item vectors of weights.safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.errors import DataError
from pipelines.gate.evidence import Health, Missing, Table
from pipelines.paths import ETL

TABLE = "table.weight"
"""End of the name of the item vectors, [num_items + 1, size]; row 0 is padding."""
SAMPLE = 2000
"""Item vectors that are looked at."""
SEED = 20


def measure(folder: Path) -> Health:
    """folder: data/train/<model>. DataError if a file of the training cannot be read."""
    try:
        column = pl.read_csv(folder / "history.csv", infer_schema_length=None)["train_loss"]
        vectors = table(folder / "weights.safetensors")
        counts = pl.read_parquet(ETL / "vocabulary.parquet", columns=["index", "count"]).sort("index")["count"].to_numpy()
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        where = f"{folder}: {' '.join(str(error).split())[:300]}"
        raise DataError("what the training left cannot be read", where, f"dvc repro --force train@{folder.name}") from None
    losses = tuple(float(loss) for loss in column.cast(pl.Float64) if loss is not None)
    if vectors is None:
        return Health(losses, Missing(f"the weights hold no {TABLE}") if losses else None)
    learned = np.flatnonzero(counts > 0) + 1
    if len(learned) < 2 or learned[-1] >= len(vectors):
        return Health(losses, Missing(f"{len(vectors) - 1:,} vectors do not fit {len(learned):,} items with training events"))
    return Health(losses, spread(vectors[learned]))


def table(path: Path) -> npt.NDArray[np.float32] | None:
    """The item vectors; None if the model has none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            name = next((key for key in file.keys() if key.endswith(TABLE)), None)  # noqa: SIM118 (no mapping)
            return None if name is None else file.get_tensor(name)
    except SafetensorError as error:
        raise ValueError(f"{path.name}: {error}") from None


def spread(vectors: npt.NDArray[np.float32]) -> Table:
    """Of a sample. Items without a training event keep the vectors of chance they began with: leave them out before."""
    if len(vectors) > SAMPLE:
        vectors = np.random.default_rng(SEED).choice(vectors, SAMPLE, replace=False)
    rows = vectors.astype(np.float64)
    items, size = rows.shape
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    total = unit.sum(0)
    cosine = (total @ total - (unit * unit).sum()) / (items * (items - 1))
    if not np.isfinite(rows).all():
        return Table(items, size, float("nan"), float("nan"))
    singular = np.linalg.svd(rows, compute_uv=False)
    weight = singular / max(singular.sum(), 1e-300)
    weight = weight[weight > 0]
    return Table(items, size, float(cosine), float(np.exp(-(weight * np.log(weight)).sum())) if len(weight) else 0.0)
