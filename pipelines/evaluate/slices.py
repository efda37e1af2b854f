"""The same metrics for parts of the predictions: where a model is good, and for whom."""

from __future__ import annotations

from jaxtyping import Int
from torch import Tensor

from pipelines import metrics
from pipelines.evaluate.labels import Labels

Slices = dict[str, dict[str, dict[str, float]]]

SHOWN = ("recall_at_20", "mrr_at_20", "ndcg_at_20")


def slices(ranks: Int[Tensor, "P"], labels: Labels) -> Slices:
    """Of each way to divide them, each part that has predictions."""
    found: Slices = {}
    for kind, label in labels.items():
        parts = {name: ranks[label.codes == code] for code, name in enumerate(label.names)}
        found[kind] = {name: _measured(part) for name, part in parts.items() if len(part)}
    return found


def _measured(ranks: Int[Tensor, "P"]) -> dict[str, float]:
    found = metrics.summary(ranks)
    return {"predictions": len(ranks), **{name: found[name] for name in SHOWN}}
