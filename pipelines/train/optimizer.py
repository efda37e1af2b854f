"""AdamW and its schedule."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from pipelines.train.params import TrainParams


def adamw(model: nn.Module, train: TrainParams) -> AdamW:
    """Matrices decay; item tables, biases and norms do not: a rare item would be forgotten."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in parameters if parameter.ndim > 1 and id(parameter) not in tables]
    chosen = {id(parameter) for parameter in matrices}
    others = [parameter for parameter in parameters if id(parameter) not in chosen]
    groups = [{"params": matrices, "weight_decay": train.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW([group for group in groups if group["params"]], lr=train.learning_rate, fused=True)


def schedule(optimizer: AdamW, train: TrainParams, steps: int) -> LRScheduler:
    """The step size of each of `steps` optimizer steps."""
    warmup = max(1, round(train.warmup_share * steps))
    if train.schedule == "one_cycle" and steps > 1:
        share = min(max(train.warmup_share, 1 / steps), 1 - 1 / steps)
        return OneCycleLR(optimizer, train.learning_rate, total_steps=steps + 1, pct_start=share)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if train.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return LambdaLR(optimizer, factor)
