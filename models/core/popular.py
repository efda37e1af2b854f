"""How often items occur: what counting models fall back on where nothing else speaks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from models.core.batch import SessionBatch

FAINT = 1e-6
"""What popularity weighs beside similarities, rules and votes: nothing but an order."""


def shares(batch: SessionBatch, num_items: int) -> Float[Tensor, "V"]:
    """Each item's share of the events; 0 for padding. V = num_items + 1."""
    events = batch.items[batch.mask()]
    return (torch.bincount(events, minlength=num_items + 1) / max(len(events), 1)).float()
