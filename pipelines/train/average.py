"""The running average of the weights: one point in the middle of where the last steps went to and fro.

Source  Polyak and Juditsky, 1992; its use: Morales-Brotons et al., TMLR 2024, https://arxiv.org/abs/2411.18704.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Average:
    """Of every parameter, exponentially weighted; early steps keep less, so that the first weights are forgotten."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights = [parameter.detach() for parameter in model.parameters()]
        self.means = [weight.clone() for weight in self.weights] if decay else []

    def update(self) -> None:
        """After each optimizer step."""
        self.steps += 1
        if self.decay:
            keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(self.means, self.weights, 1 - keep)

    def keep(self) -> None:
        """The model holds the average from now on; without decay, what it holds anyway."""
        if self.decay:
            torch._foreach_copy_(self.weights, self.means)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model holds the average within the block."""
        own = [weight.clone() for weight in self.weights] if self.decay else []
        self.keep()
        try:
            yield
        finally:
            if self.decay:
                torch._foreach_copy_(self.weights, own)
