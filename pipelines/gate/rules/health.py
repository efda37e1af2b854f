"""Did the training go well: a finite loss, and item vectors that tell items apart."""

from __future__ import annotations

import math

from pipelines.gate.evidence import Evidence, Missing, Verdict
from pipelines.gate.params import GateParams

COUNTS = "the model counts: it has no loss and no item vectors"


def loss_is_finite(evidence: Evidence, gate: GateParams) -> Verdict:
    found = evidence.health
    if isinstance(found, Missing):
        return Verdict(False, f"the training was not looked at: {found.why}")
    if not found.losses:
        if found.table is None:
            return Verdict(True, COUNTS)
        return Verdict(False, "the training wrote down no loss")
    wrong = [epoch for epoch, loss in enumerate(found.losses, 1) if not math.isfinite(loss)]
    if wrong:
        return Verdict(False, f"the loss of epoch {wrong[0]} of {len(found.losses)} is {found.losses[wrong[0] - 1]}")
    return Verdict(True, f"finite in all {len(found.losses)} epochs, {found.losses[0]:.3f} to {found.losses[-1]:.3f}")


def items_differ(evidence: Evidence, gate: GateParams) -> Verdict:
    """Collapsed vectors point one way (high cosine) or lie in few directions (low effective rank; Roy and Vetterli 2007)."""
    found = evidence.health
    if isinstance(found, Missing):
        return Verdict(False, f"the item vectors were not looked at: {found.why}")
    if found.table is None:
        return Verdict(not found.losses, COUNTS if not found.losses else "a model that learns must have item vectors")
    if isinstance(found.table, Missing):
        return Verdict(False, f"the item vectors were not looked at: {found.table.why}")
    table = found.table
    rank = table.effective_rank / table.size
    said = (
        f"mean cosine {table.mean_cosine:.2f} (at most {gate.max_mean_cosine:g}), effective rank {table.effective_rank:.0f} of "
        f"{table.size} (at least {gate.min_effective_rank:.0%}), {table.items:,} items"
    )
    return Verdict(table.mean_cosine <= gate.max_mean_cosine and rank >= gate.min_effective_rank, said)
