"""Items drawn from what a model itself believes.

Shapes  P states, V = num_items + 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.core.heads import ItemHead
from models.core.losses import NUMBERS_AT_ONCE


@torch.no_grad()
def draw(head: ItemHead, states: Float[Tensor, "P D"]) -> Int[Tensor, "P"]:
    """An item for each state, by the softmax of its scores; never padding. Memory does not grow with P."""
    rows = max(1, NUMBERS_AT_ONCE.get(states.device.type, 2**21) // len(head.table.weight))
    found = [torch.zeros(0, dtype=torch.int64, device=states.device)]
    for begin in range(0, len(states), rows):
        share_CV = torch.softmax(head.scores(states[begin : begin + rows]), 1).cumsum(1)
        at_C1 = torch.rand(len(share_CV), 1, device=states.device) * share_CV[:, -1:]
        found.append(torch.searchsorted(share_CV, at_C1, right=True).clamp(max=share_CV.shape[1] - 1).squeeze(1))
    return torch.cat(found)
