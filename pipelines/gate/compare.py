"""Challenger and champion on the same predictions: the whole test and each slice that evaluate named in ranks.parquet."""

from __future__ import annotations

import numpy as np
import polars as pl

from pipelines.errors import DataError
from pipelines.gate import interval
from pipelines.gate.evidence import CHAMPION, Comparison, Slice
from pipelines.gate.params import GateParams
from pipelines.paths import EVALUATE

KEYS = ("session", "position")


def against_champion(gate: GateParams, name: str) -> Comparison:
    """DataError if the two did not answer the same predictions."""
    ours, theirs = (pl.read_parquet(EVALUATE / model / "ranks.parquet").sort(KEYS) for model in (name, CHAMPION))
    if not ours.select(*KEYS, "target").equals(theirs.select(*KEYS, "target")):
        where = f"{EVALUATE / name}: {len(ours):,} predictions, {EVALUATE / CHAMPION}: {len(theirs):,}"
        raise DataError(
            "challenger and champion were not asked the same predictions", where, "python -m pipelines evaluate champion"
        )
    return compare(gate, ours, theirs["rank"].to_numpy())


def compare(gate: GateParams, ours: pl.DataFrame, champion_ranks: np.ndarray[tuple[int], np.dtype[np.integer]]) -> Comparison:
    """ours: session, rank, and columns of names that divide the predictions; the champion's ranks of the same predictions."""
    sessions = ours["session"].to_numpy().astype(np.int64)
    challenger, champion = interval.reciprocal(ours["rank"].to_numpy()), interval.reciprocal(champion_ranks)
    masks = {(kind, part): mask for kind, part, mask in divide(ours)}
    sizes = {key: len(np.unique(sessions[mask])) for key, mask in masks.items()}
    judged = [key for key, size in sizes.items() if size >= gate.min_slice_sessions]
    parts = [np.ones(len(sessions), dtype=np.bool_), *(masks[key] for key in judged)]
    whole, *found = interval.paired(
        sessions, challenger, champion, parts, gate.confidence, gate.resamples, gate.max_slice_loss_share
    )
    known = dict(zip(judged, found, strict=True))
    return Comparison(whole, tuple(Slice(*key, sizes[key], known.get(key)) for key in masks))


def divide(ours: pl.DataFrame) -> list[tuple[str, str, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    """Every part of every column of names that has a prediction: column, name, which predictions."""
    found = []
    for kind in (column for column, dtype in ours.schema.items() if dtype == pl.Enum):
        codes = ours[kind].to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        names = ours[kind].cat.get_categories().to_list()
        found += [(kind, name, codes == code) for code, name in enumerate(names) if (codes == code).any()]
    return found
