"""To which parts of the test each prediction belongs: the gate compares models part by part and need not know the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from pipelines.columns import CATEGORY
from pipelines.evaluate.params import EvaluateParams
from pipelines.paths import ETL

DAY_US = 86_400_000_000
NONE = -1


@dataclass(frozen=True)
class Label:
    """One way to divide the predictions.

    names  of the parts, in order; codes: the part of each prediction, NONE if it is in none
    """

    names: list[str]
    codes: Int[Tensor, "P"]

    def series(self) -> pl.Series:
        """Names; null for none."""
        codes = pl.Series(self.codes.numpy())
        return codes.set(codes == NONE, None).cast(pl.UInt32).cast(pl.Enum(self.names))


Labels = dict[str, Label]


def labels(
    targets: Int[Tensor, "P"],
    lengths: Int[Tensor, "P"],
    times_us: Int[Tensor, "P"] | None,
    counts: Int[Tensor, "V"],
    evaluate: EvaluateParams,
) -> Labels:
    """By length of the session, popularity and category of the target, and UTC day of the target (where times are known).

    counts  training events of each item
    """
    found = {
        "session_class": Label(["short", "middle", "long"], _by_class(lengths, evaluate)),
        "target_popularity": Label(["cold", "middle", "popular"], _by_popularity(targets, counts, evaluate)),
        "category": _by_category(targets, evaluate.category_levels),
    }
    if times_us is not None:
        days, codes = torch.unique(times_us // DAY_US, return_inverse=True)
        found["day"] = Label([str(np.datetime64(day, "D")) for day in days.tolist()], codes)
    return found


def by_length(lengths: Int[Tensor, "P"], long_from: int) -> Label:
    """Every length by itself, the long ones together."""
    names = [*(str(length) for length in range(2, long_from)), f"{long_from} or more"]
    return Label(names, (lengths - 2).clamp(max=long_from - 2))


def _by_class(lengths: Int[Tensor, "P"], evaluate: EvaluateParams) -> Int[Tensor, "P"]:
    is_long = lengths >= evaluate.long_from
    return torch.where(is_long, 2, (lengths > evaluate.short_until).long())


def _by_popularity(targets: Int[Tensor, "P"], counts: Int[Tensor, "V"], evaluate: EvaluateParams) -> Int[Tensor, "P"]:
    """Popular: among the `popular_share` of the items with the most training events (the lower index first); never cold.

    A target that the vocabulary lacks (index num_items + 1) is cold.
    """
    many, counts = max(1, round(evaluate.popular_share * (len(counts) - 1))), torch.cat([counts, counts.new_zeros(1)])
    most = torch.argsort(counts[1:-1], descending=True, stable=True)[:many] + 1
    popular: Bool[Tensor, "V"] = torch.zeros(len(counts), dtype=torch.bool).index_fill(0, most, True)
    cold = counts < evaluate.cold_below
    return torch.where(cold, 0, 1 + popular.long())[targets]


def _by_category(targets: Int[Tensor, "P"], levels: int) -> Label:
    """The first `levels` parts of the target's dotted category path; items without one are in no part."""
    items = pl.read_parquet(ETL / "items.parquet", columns=["index", CATEGORY])
    paths = items.select("index", pl.col(CATEGORY).str.split(".").list.head(levels).list.join("."))
    names = sorted(paths[CATEGORY].drop_nulls().unique().to_list())
    codes = paths[CATEGORY].cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(NONE)
    size = int(paths["index"].max() or 0)  # type: ignore[arg-type]
    code_V = torch.full((max(size, int(targets.max())) + 1,), NONE)
    code_V[torch.from_numpy(paths["index"].to_numpy().astype(np.int64))] = torch.from_numpy(codes.to_numpy().copy())
    return Label(names, code_V[targets])
