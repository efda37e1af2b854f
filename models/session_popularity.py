"""Session popularity: what was clicked in the session comes again, most often first, then most recently; then popularity.

Source   S-POP of Hidasi et al., ICLR 2016, https://arxiv.org/abs/1511.06939
Differs  Equal counts are ordered by recency, not by popularity.
Shapes   B sessions, L events, V = num_items + 1.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from models.core import config, popular
from models.core.base import CountingModel, Features, mask_padding
from models.core.batch import SessionBatch


class SessionPopularityConfig(config.Config):
    """Session popularity has no settings."""


class SessionPopularity(CountingModel):
    Config: ClassVar[type[SessionPopularityConfig]] = SessionPopularityConfig
    popularity: Float[Tensor, "V"]

    def __init__(self, config: SessionPopularityConfig, features: Features) -> None:
        super().__init__(config, features)
        self.register_buffer("popularity", torch.zeros(features.num_items + 1))

    def fit(self, batch: SessionBatch) -> None:
        self.popularity = popular.shares(batch, self.features.num_items)

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        """count * (limit + 1) + position of the last occurrence for items of the session, a share below 1 for all others."""
        happened_BL = batch.mask()
        order_BL = torch.arange(1, batch.items.shape[1] + 1, device=batch.items.device) * happened_BL
        weight_BL = happened_BL * (self.features.max_session_length + 1)
        zero_BV = torch.zeros_like(self.popularity).expand(batch.items.shape[0], -1)
        count_BV = zero_BV.scatter_add(1, batch.items, weight_BL.float())
        last_BV = zero_BV.scatter_reduce(1, batch.items, order_BL.float(), "amax")
        return mask_padding(torch.where(count_BV > 0, count_BV + last_BV, self.popularity))
