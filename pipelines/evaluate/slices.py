"""The same metrics for parts of the predictions: where a model is good, and for whom."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from pipelines import metrics
from pipelines.evaluate.params import EvaluateParams
from pipelines.evaluate.rank import Predictions

Slices = dict[str, dict[str, dict[str, float]]]

SHOWN = ("recall_at_20", "mrr_at_20", "ndcg_at_20")


def slices(
    found: Predictions,
    evaluate: EvaluateParams,
    counts: Int[Tensor, "V"],
    lengths: Int[Tensor, "P"],
    times_us: Int[Tensor, "P"] | None,
) -> Slices:
    """By session length, popularity of the target, and UTC day of the target (where times are known)."""
    named = {
        "session_length": _by_length(lengths, evaluate.long_from),
        "target_popularity": _by_popularity(found.target, counts, evaluate),
    }
    if times_us is not None:
        named["day"] = _by_day(times_us)
    return {
        kind: {label: _measured(found.rank[chosen]) for label, chosen in parts if bool(chosen.any())}
        for kind, parts in named.items()
    }


def _measured(ranks: Int[Tensor, "P"]) -> dict[str, float]:
    found = metrics.summary(ranks)
    return {"predictions": len(ranks), **{name: found[name] for name in SHOWN}}


def _by_length(lengths: Int[Tensor, "P"], long_from: int) -> Iterator[tuple[str, Tensor]]:
    for length in range(2, long_from):
        yield str(length), lengths == length
    yield f"{long_from} or more", lengths >= long_from


def _by_popularity(targets: Int[Tensor, "P"], counts: Int[Tensor, "V"], evaluate: EvaluateParams) -> Iterator[tuple[str, Tensor]]:
    """Popular: among the `popular_share` of the items with the most training events (the lower index first); never cold.

    A target that the vocabulary lacks (index num_items + 1) is cold.
    """
    many, counts = max(1, round(evaluate.popular_share * (len(counts) - 1))), torch.cat([counts, counts.new_zeros(1)])
    most = torch.argsort(counts[1:-1], descending=True, stable=True)[:many] + 1
    popular = torch.zeros(len(counts), dtype=torch.bool).index_fill(0, most, True)
    cold = counts < evaluate.cold_below
    yield "cold", cold[targets]
    yield "middle", (~cold & ~popular)[targets]
    yield "popular", (popular & ~cold)[targets]


def _by_day(times_us: Int[Tensor, "P"]) -> Iterator[tuple[str, Tensor]]:
    days = times_us // 86_400_000_000
    for day in torch.unique(days).tolist():
        yield str(np.datetime64(day, "D")), days == day
