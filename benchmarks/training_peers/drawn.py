"""Sessions drawn for measurements that need no real ones: 2 to 20 events, their lengths geometric with mean 5, Zipf items."""

from __future__ import annotations

import torch

from models.core.base import Features
from pipelines.split import TEST, TRAIN
from pipelines.stores.sessions import Sessions

LONGEST = 20


def draw(events: int, items: int, device: torch.device, test_share: float) -> Sessions:
    """About so many events; the last sessions test."""
    random = torch.Generator().manual_seed(0)
    lengths = torch.empty(events // 5 + 1).geometric_(0.25, generator=random).long().clamp(max=LONGEST - 1) + 1
    popularity = 1 / torch.arange(1, items + 1, dtype=torch.float64)
    drawn = torch.rand(int(lengths.sum()), generator=random, dtype=torch.float64) * popularity.sum()
    indices = torch.searchsorted(popularity.cumsum(0), drawn).clamp(max=items - 1) + 1
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    split = torch.full_like(lengths, TRAIN)
    split[len(lengths) - round(len(lengths) * test_share) :] = TEST
    features = Features(num_items=items, max_session_length=LONGEST)
    return Sessions(features, indices.to(device), offsets.to(device), split.to(device), {})
