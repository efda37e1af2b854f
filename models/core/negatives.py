"""Items drawn as negatives: by popularity^power, with replacement, on the device, repeatable by torch's seed.

Shapes  N rows, V = num_items + 1.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.core.batch import PADDING


class Negatives(nn.Module):
    """Draws items with a probability that grows with (events + 1)^power: 0 uniformly, 1 by popularity.

    The one event more keeps items alive that have none in the training days: the vocabulary only grows, and what is never
    drawn would keep its first score. Buffers follow from the counts and are not stored with the weights.
    """

    cumulative: Tensor
    log_drawn: Tensor
    log_met: Tensor

    def __init__(self, num_items: int, power: float) -> None:
        super().__init__()
        self.power, self.told = power, False
        self.register_buffer("cumulative", torch.zeros(num_items, dtype=torch.float64), persistent=False)
        self.register_buffer("log_drawn", torch.zeros(num_items + 1), persistent=False)
        self.register_buffer("log_met", torch.zeros(num_items + 1), persistent=False)

    def know(self, counts: Int[Tensor, "V"]) -> None:
        """Training events of each item."""
        events = counts.to(self.cumulative.device, torch.float64)[PADDING + 1 :] + 1
        weights = events**self.power
        drawn, met = weights / weights.sum(), events / events.sum()
        self.cumulative.copy_(drawn.cumsum(0))
        self.log_drawn[PADDING + 1 :] = drawn.log()
        self.log_met[PADDING + 1 :] = met.log()
        self.told = True

    def draw(self, number: int) -> Int[Tensor, "N"]:
        """That many items. RuntimeError before `know`."""
        if not self.told:
            raise RuntimeError("negatives are drawn by popularity: call know(counts) with the training events first")
        chance = torch.rand(number, dtype=torch.float64, device=self.cumulative.device) * self.cumulative[-1]
        drawn = torch.searchsorted(self.cumulative, chance, right=True).clamp_(max=len(self.cumulative) - 1)
        return drawn + (PADDING + 1)

    def log_expected(self, items: Int[Tensor, "N"], drawn: int, met: int) -> Float[Tensor, "N"]:
        """Logarithm of how many rows hold each item on average, of so many drawn and so many other states' targets."""
        log_drawn = self.log_drawn[items] + math.log(drawn)
        return torch.logaddexp(log_drawn, self.log_met[items] + math.log(met)) if met else log_drawn
