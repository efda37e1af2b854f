"""Losses over all items."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from models.core.batch import PADDING


def full_softmax(
    states: Float[Tensor, "P D"], table: Float[Tensor, "V D"], bias: Float[Tensor, "V"], targets: Int[Tensor, "P"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the targets over all items; padding takes no part."""
    padding = torch.zeros_like(bias).index_fill(0, torch.tensor([PADDING], device=bias.device), float("-inf"))
    return functional.cross_entropy(functional.linear(states, table, bias + padding).float(), targets)
