"""Pairs of items counted over sessions, sparsely: memory goes with the distinct pairs, never with items x items.

Shapes  S sessions, L events, V = num_items + 1, K best successors of each item, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.core.batch import PADDING

PAIRS_AT_ONCE = 2**22
"""Pairs in memory at once before equal ones are added up."""


class Pairs(NamedTuple):
    """Distinct pairs and the sum of the weights of each."""

    first: Int[Tensor, "P"]
    second: Int[Tensor, "P"]
    weight: Float[Tensor, "P"]


def add_up(parts: Iterable[Pairs], size: int) -> Pairs:
    """Equal pairs become one, in float64; at most PAIRS_AT_ONCE and one part lie beside the distinct ones. At least one part."""
    keys: list[Tensor] = []
    weights: list[Tensor] = []
    waiting = 0

    def merge() -> None:
        together, which = torch.unique(torch.cat(keys), return_inverse=True)
        sums = torch.zeros_like(together, dtype=torch.float64).scatter_add(0, which, torch.cat(weights))
        keys[:], weights[:] = [together], [sums]

    for part in parts:
        keys.append(part.first * size + part.second)
        weights.append(part.weight.double())
        waiting += len(part.first)
        if waiting > PAIRS_AT_ONCE:
            merge()
            waiting = 0
    merge()
    return Pairs(keys[0] // size, keys[0] % size, weights[0])


def ordered(items_SL: Int[Tensor, "S L"], steps: int) -> Iterator[tuple[Int[Tensor, "P"], Int[Tensor, "P"], int]]:
    """Every event with each of the `steps` events after it: first item, second item, their distance; in parts.

    The first part is there even if there is no pair at all.
    """
    for part_SL in torch.split(items_SL, max(1, PAIRS_AT_ONCE // items_SL.shape[1])):
        for distance in range(1, min(steps, max(part_SL.shape[1] - 1, 1)) + 1):
            first_SL, second_SL = part_SL[:, :-distance], part_SL[:, distance:]
            happened_SL = (first_SL != PADDING) & (second_SL != PADDING)
            yield first_SL[happened_SL], second_SL[happened_SL], distance


def strongest(pairs: Pairs, size: int, most: int) -> tuple[Int[Tensor, "V K"], Float[Tensor, "V K"]]:
    """Of each first item the seconds with the largest weights, largest first; of equal ones the lower index.

    K is `most`, or less where no item has so many. Empty places hold PADDING and weight 0.
    """
    order_P = torch.argsort(pairs.second, stable=True)
    order_P = order_P[torch.argsort(pairs.weight[order_P], descending=True, stable=True)]
    order_P = order_P[torch.argsort(pairs.first[order_P], stable=True)]
    first_P, second_P, weight_P = (values[order_P] for values in pairs)
    found_V = torch.bincount(first_P, minlength=size)
    begin_V = found_V.cumsum(0) - found_V
    rank_P = torch.arange(len(first_P), device=first_P.device) - begin_V[first_P]
    width = min(most, int(found_V.max()))
    kept_P = rank_P < width
    seconds_VK = torch.full((size, width), PADDING, device=first_P.device)
    weights_VK = torch.zeros(size, width, device=first_P.device)
    seconds_VK[first_P[kept_P], rank_P[kept_P]] = second_P[kept_P]
    weights_VK[first_P[kept_P], rank_P[kept_P]] = weight_P[kept_P].float()
    return seconds_VK, weights_VK
