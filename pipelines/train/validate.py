"""Validation: all items ranked at every position of every validation session, or at its last one."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from models.core.base import SessionModel
from pipelines import metrics
from pipelines.errors import DataError
from pipelines.stores.sessions import Sessions
from pipelines.train.distributed import ALONE, Processes


@torch.inference_mode()
def validate(
    model: SessionModel, data: Sessions, sessions: Int[Tensor, "n"], last_only: bool = False, group: Processes = ALONE
) -> dict[str, float]:
    """Metrics by name, as `pipelines.metrics.summary` has them; of several processes each ranks a share.

    last_only  each session's last event is its one target
    """
    model.eval()
    share = data.longest_first(sessions)[group.rank :: group.size]
    rows = metrics.rows_at_once(model.numbers_per_row(), data.items.device)
    found = [torch.zeros(0, dtype=torch.int64, device=data.items.device)]
    for part in torch.split(share, rows) if last_only else data.parts(share, rows):
        batch = data.batch(part)
        if last_only:
            before, target = batch.before_last()
            found.append(metrics.ranks(model.scores(before), target))
        else:
            found.append(metrics.ranks(model.scores_everywhere(batch), batch.targets()))
    return metrics.summary(group.gather(torch.cat(found)))


def sessions_to_validate(data: Sessions, split: int) -> Int[Tensor, "n"]:
    """Validation sessions with something to predict. DataError if there is none."""
    found = data.of(split, at_least=2)
    if len(found) == 0:
        raise DataError(
            "there is no validation session with two events or more",
            f"data/etl: {len(data.of(0)):,} training, {len(data.of(split)):,} validation, {len(data.of(2)):,} test sessions",
            "raise split.valid_days (or split.valid_share with split.by: shares), or give more days of events",
        )
    return found
