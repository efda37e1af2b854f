"""Item kNN: items that stand in the same sessions are alike; what is most like the session's items comes next.

Source   Sarwar et al., WWW 2001, https://dl.acm.org/doi/10.1145/371920.372071; Linden, Smith and York, IEEE Internet
         Computing 2003 (item to item); with the regularisation of Hidasi et al., ICLR 2016, https://arxiv.org/abs/1511.06939.
         similarity(i, j) = sessions with both / ((sessions with i + r)^balance * (sessions with j + r)^(1 - balance))
Differs  A session counts once for an item however often it stands in it. Items like none of the session's are ranked by
         popularity.
Shapes   B sessions, L events, V = num_items + 1, K neighbours of each item, N distinct items of all sessions.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le, Lt
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from models.core import config, pairs, popular
from models.core.base import CountingModel, Features, mask_padding
from models.core.batch import PADDING, SessionBatch


class ItemKNNConfig(config.Config):
    """Settings of item kNN."""

    neighbours: Annotated[PositiveInt, Le(5000), config.Search(20, 500, log=True)]
    """Most similar items that each item keeps."""
    regularization: Annotated[NonNegativeFloat, config.Search(1.0, 100.0, log=True)]
    """Sessions added to the sessions of every item: chance meetings of rare items count less."""
    balance: Annotated[float, Ge(0), Le(1), config.Search(0.0, 1.0)]
    """Exponent 0..1 of the session's item, the rest is the candidate's: 0.5 is the cosine, 1 is the confidence of a rule."""
    session_decay: Annotated[float, Ge(0), Lt(1), config.Search(0.0, 0.9)]
    """What an item weighs beside the one after it, 0..1; with 0 only the last item counts."""


class ItemKNN(CountingModel):
    Config: ClassVar[type[ItemKNNConfig]] = ItemKNNConfig
    config: ItemKNNConfig
    neighbours: Int[Tensor, "V K"]
    similarities: Float[Tensor, "V K"]
    popularity: Float[Tensor, "V"]

    def __init__(self, config: ItemKNNConfig, features: Features) -> None:
        super().__init__(config, features)
        size = features.num_items + 1
        self.register_buffer("neighbours", torch.zeros(size, 0, dtype=torch.int64))
        self.register_buffer("similarities", torch.zeros(size, 0))
        self.register_buffer("popularity", torch.zeros(size))

    def numbers_per_row(self) -> int:
        looked_up = 4 * self.neighbours.shape[1] * (self.features.max_session_length if self.config.session_decay else 1)
        return 2 * (self.features.num_items + 1) + looked_up

    def fit(self, batch: SessionBatch) -> None:
        size = self.features.num_items + 1
        distinct_SL = _distinct(batch.items)
        together = pairs.add_up(
            (
                pairs.Pairs(first.minimum(second), first.maximum(second), torch.ones_like(first, dtype=torch.float64))
                for first, second, _ in pairs.ordered(distinct_SL, distinct_SL.shape[1])
            ),
            size,
        )
        one, other = torch.cat([together.first, together.second]), torch.cat([together.second, together.first])
        support_V = torch.bincount(distinct_SL[distinct_SL != PADDING], minlength=size).double() + self.config.regularization
        balance = self.config.balance
        similarity = together.weight.repeat(2) / (support_V[one] ** balance * support_V[other] ** (1 - balance))
        self.neighbours, self.similarities = pairs.strongest(pairs.Pairs(one, other, similarity), size, self.config.neighbours)
        self.popularity = popular.shares(batch, self.features.num_items)

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        popular_BV = mask_padding(popular.FAINT * self.popularity[None]).expand(batch.items.shape[0], -1)
        last_B1 = batch.last()[:, None]
        if self.config.session_decay == 0:
            last_B = batch.items.gather(1, last_B1).squeeze(1)
            return popular_BV.scatter_add(1, self.neighbours[last_B], self.similarities[last_B])
        back_BL = last_B1 - torch.arange(batch.items.shape[1], device=batch.items.device)
        weight_BL = self.config.session_decay ** back_BL.clamp(min=0).float() * batch.mask()
        similar_BLK = self.similarities[batch.items] * weight_BL[:, :, None]
        return popular_BV.scatter_add(1, self.neighbours[batch.items].flatten(1), similar_BLK.flatten(1))


def _distinct(items_SL: Int[Tensor, "S L"]) -> Int[Tensor, "S L"]:
    """Each item of a session once, in no order; PADDING between them."""
    sorted_SL = items_SL.sort(1).values
    again_SL = torch.cat([torch.zeros_like(sorted_SL[:, :1], dtype=torch.bool), sorted_SL[:, 1:] == sorted_SL[:, :-1]], 1)
    return sorted_SL.masked_fill(again_SL, PADDING)
