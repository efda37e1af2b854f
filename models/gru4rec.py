"""GRU4Rec: a GRU reads the session, its last state scores every item.

Source   Hidasi et al., ICLR 2016, https://arxiv.org/abs/1511.06939; Hidasi and Karatzoglou, CIKM 2018,
         https://arxiv.org/abs/1706.03847 (cross-entropy, one table for input and output).
Differs  Right-padded batches of whole sessions instead of session-parallel ones; full softmax instead of sampled items.
Shapes   B sessions, L events, P prefixes, D hidden size, V = num_items + 1.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le, Lt
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from models.core import config, losses
from models.core.base import Features, SessionModel, mask_padding
from models.core.batch import PADDING, SessionBatch

Share = Annotated[float, Ge(0), Lt(1)]


class GRU4RecConfig(config.Config):
    """Settings of GRU4Rec."""

    hidden_size: Annotated[PositiveInt, Le(4096), config.Search(32, 512, log=True)]
    """Width of the item table and of the GRU's state."""
    layers: Annotated[PositiveInt, Le(8)]
    """GRU layers on top of each other."""
    embedding_dropout: Annotated[Share, config.Search(0.0, 0.6)]
    """Share 0..1 of the item vector's numbers that training blanks."""
    hidden_dropout: Annotated[Share, config.Search(0.0, 0.6)]
    """Share 0..1 of the state's numbers that training blanks."""


class GRU4Rec(SessionModel):
    Config: ClassVar[type[GRU4RecConfig]] = GRU4RecConfig

    def __init__(self, config: GRU4RecConfig, features: Features) -> None:
        super().__init__(config, features)
        size = config.hidden_size
        self.table = nn.Embedding(features.num_items + 1, size, padding_idx=PADDING)
        self.bias = nn.Parameter(torch.zeros(features.num_items + 1))
        self.gru = nn.GRU(size, size, config.layers, batch_first=True)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.hidden_dropout = nn.Dropout(config.hidden_dropout)
        nn.init.uniform_(self.table.weight, -(size**-0.5), size**-0.5)
        nn.init.zeros_(self.table.weight[PADDING].detach())

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        states_BLD = self.states(batch)
        last_B = (batch.lengths - 1).clamp(min=0)
        return self.score_items(states_BLD[torch.arange(last_B.shape[0], device=last_B.device), last_B])

    def scores_everywhere(self, batch: SessionBatch) -> Float[Tensor, "P V"]:
        return self.score_items(self.states_before_targets(batch))

    def loss(self, batch: SessionBatch) -> Float[Tensor, ""]:
        return losses.full_softmax(self.states_before_targets(batch), self.table.weight, self.bias, batch.targets())

    def states(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """Right padding comes after the last event: no state that is used has seen it."""
        states_BLD: Tensor = self.gru(self.embedding_dropout(self.table(batch.items)))[0]
        dropped_BLD: Tensor = self.hidden_dropout(states_BLD)
        return dropped_BLD

    def states_before_targets(self, batch: SessionBatch) -> Float[Tensor, "P D"]:
        has_next_BL = batch.mask()[:, 1:]
        return self.states(batch)[:, :-1][has_next_BL]

    def score_items(self, states: Float[Tensor, "B D"]) -> Float[Tensor, "B V"]:
        return mask_padding(functional.linear(states, self.table.weight, self.bias).float())
