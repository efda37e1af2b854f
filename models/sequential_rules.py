"""Sequential rules: what followed the last item within some steps comes next, the sooner it followed the more it weighs.

Source   Kamehkhosh, Jannach and Ludewig, TempRec at RecSys 2017, https://ceur-ws.org/Vol-1922/paper10.pdf
Differs  Items without a rule are ranked by popularity.
Shapes   B sessions, L events, V = num_items + 1, K rules of each item.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Le
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from models.core import config, pairs, popular
from models.core.base import CountingModel, Features, mask_padding
from models.core.batch import SessionBatch, at


class SequentialRulesConfig(config.Config):
    """Settings of sequential rules."""

    steps: Annotated[PositiveInt, Le(200), config.Search(1, 20)]
    """Events after an item that make a rule with it; one that is n events later weighs 1 / n."""
    rules: Annotated[PositiveInt, Le(5000), config.Search(20, 500, log=True)]
    """Rules that each item keeps: those with the largest weights."""


class SequentialRules(CountingModel):
    Config: ClassVar[type[SequentialRulesConfig]] = SequentialRulesConfig
    config: SequentialRulesConfig
    followers: Int[Tensor, "V K"]
    weights: Float[Tensor, "V K"]
    popularity: Float[Tensor, "V"]

    def __init__(self, config: SequentialRulesConfig, features: Features) -> None:
        super().__init__(config, features)
        size = features.num_items + 1
        self.register_buffer("followers", torch.zeros(size, 0, dtype=torch.int64))
        self.register_buffer("weights", torch.zeros(size, 0))
        self.register_buffer("popularity", torch.zeros(size))

    def fit(self, batch: SessionBatch) -> None:
        size, items_SL = self.features.num_items + 1, batch.items
        found = (
            pairs.Pairs(first, second, torch.full_like(first, 1 / distance, dtype=torch.float64))
            for first, second, distance in pairs.ordered(items_SL, self.config.steps)
        )
        self.followers, self.weights = pairs.strongest(pairs.add_up(found, size), size, self.config.rules)
        self.popularity = popular.shares(batch, self.features.num_items)

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        last_B = at(batch.items, batch.last())
        popular_BV = mask_padding(popular.FAINT * self.popularity[None]).expand(batch.items.shape[0], -1)
        return popular_BV.scatter_add(1, self.followers[last_B], self.weights[last_B])
