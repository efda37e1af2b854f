"""Batches of sessions of similar length: index arithmetic on the device, little padding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

POOL = 64
"""Batches that are sorted by length together: the larger, the less padding and the less chance."""


def by_length(
    sessions: Int[Tensor, "n"], lengths: Int[Tensor, "n"], batch_size: int, generator: torch.Generator
) -> Iterator[Int[Tensor, "b"]]:
    """Every session once, in a new order each time; each batch holds sessions of similar length."""
    order = torch.randperm(len(sessions), generator=generator).to(sessions.device)
    parts: list[Tensor] = []
    for pool in torch.split(order, batch_size * POOL):
        parts += torch.split(pool[torch.argsort(lengths[pool], stable=True)], batch_size)
    for place in torch.randperm(len(parts), generator=generator).tolist():
        yield sessions[parts[place]]
