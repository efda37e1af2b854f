"""Dropout whose random numbers do not cost more than the layer they blank."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

STEPS = 256
"""On a CPU the share is rounded to 1/STEPS, so that one random byte decides; torch draws a double for each number. Measured on
one core, 655,360 numbers, forward and backward: 1.5 ms instead of 5.2."""


class Dropout(nn.Module):
    """Training blanks a share of the numbers and raises the others so that the mean stays; else nothing happens."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        if not self.training or self.share == 0:
            return values
        if values.device.type != "cpu":
            return functional.dropout(values, self.share)
        return values * keep(values.shape, self.share, values.dtype)


def keep(shape: torch.Size, share: float, dtype: torch.dtype) -> Tensor:
    """0 for about that share of the places, 1 / (1 - share) for the others; drawn on the CPU, mean 1 exactly expected."""
    blank = min(max(round(share * STEPS), 1), STEPS - 1)
    words = torch.empty(-(-shape.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: shape.numel()].view(shape) >= blank
    return kept.to(dtype).mul_(STEPS / (STEPS - blank))
