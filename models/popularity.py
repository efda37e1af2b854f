"""Popularity: every session gets the items with the most events. The row that every other model must beat.

Shapes   B sessions, V = num_items + 1.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from models.core import config
from models.core.base import CountingModel, Features, mask_padding
from models.core.batch import SessionBatch


class PopularityConfig(config.Config):
    """Popularity has no settings."""


class Popularity(CountingModel):
    Config: ClassVar[type[PopularityConfig]] = PopularityConfig
    counts: Float[Tensor, "V"]

    def __init__(self, config: PopularityConfig, features: Features) -> None:
        super().__init__(config, features)
        self.register_buffer("counts", torch.zeros(features.num_items + 1))

    def fit(self, batch: SessionBatch) -> None:
        events = batch.items[batch.mask()]
        self.counts = torch.bincount(events, minlength=self.features.num_items + 1).float()

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        return mask_padding(self.counts.expand(batch.items.shape[0], -1))
