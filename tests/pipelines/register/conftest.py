"""A small shop: 40 items with scattered raw ids, sessions that walk along a ring of items; every model of the zoo fitted."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

LENGTH = 8
NUM_ITEMS = 40


@pytest.fixture(scope="session")
def vocabulary() -> pl.DataFrame:
    """Raw ids out of order: index i has the id 7 * ((i * 17) % 41) - 20, so some are negative."""
    index = np.arange(1, NUM_ITEMS + 1)
    ids = 7 * ((index * 17) % 41) - 20
    return pl.DataFrame({"item_id": ids, "item_key": [None] * NUM_ITEMS, "index": index, "count": NUM_ITEMS - index + 1})


@pytest.fixture(scope="session")
def walks() -> torch.Tensor:
    """[200, LENGTH] item indices: each session begins somewhere and steps 1 or 2 along the ring; padded on the right."""
    chance = torch.Generator().manual_seed(1)
    steps = torch.randint(1, 3, (200, LENGTH), generator=chance).cumsum(1)
    items = (torch.randint(0, NUM_ITEMS, (200, 1), generator=chance) + steps) % NUM_ITEMS + 1
    lengths = torch.randint(2, LENGTH + 1, (200, 1), generator=chance)
    return items.where(torch.arange(LENGTH) < lengths, 0)
