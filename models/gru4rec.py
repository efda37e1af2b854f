"""GRU4Rec: a GRU reads the session, its last state scores every item.

Source   Hidasi et al., ICLR 2016, https://arxiv.org/abs/1511.06939; Hidasi and Karatzoglou, CIKM 2018,
         https://arxiv.org/abs/1706.03847 (cross-entropy and BPR-max, negatives by popularity^power, one table for input
         and output), after the authors' code in PyTorch.
Differs  Right-padded batches of whole sessions instead of session-parallel ones. Always one table for input and output (the
         authors' constrained embedding), as wide as the state. Items without events can be drawn as negatives; with logq
         nothing is taken from the target's own score; a state's own item is never among its negatives. Dropout blanks what a
         layer hands up, not what it remembers (the authors' code does both).
Shapes   B sessions, L events, D hidden size.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Ge, Le, Lt
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor

from models.core import config
from models.core.base import Features
from models.core.batch import SessionBatch
from models.core.dropout import Dropout
from models.core.recurrent import GRU
from models.core.repeats import RepeatsConfig, RepeatsModel


class GRU4RecConfig(RepeatsConfig):
    """Settings of GRU4Rec."""

    layers: Annotated[PositiveInt, Le(8)]
    """GRU layers on top of each other."""
    hidden_dropout: Annotated[float, Ge(0), Lt(1), config.Search(0.0, 0.6)]
    """Share 0..1 of the numbers of each layer's states that training blanks on their way up."""


class GRU4Rec(RepeatsModel):
    Config: ClassVar[type[GRU4RecConfig]] = GRU4RecConfig

    def __init__(self, config: GRU4RecConfig, features: Features) -> None:
        super().__init__(config, features)
        size = config.hidden_size
        self.gru = GRU(size, size, config.layers, config.hidden_dropout)
        self.dropout = Dropout(config.hidden_dropout)

    def states(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """Right padding comes after the last event: no state that is used has seen it."""
        dropped_BLD: Tensor = self.dropout(self.gru(self.inputs(batch)))
        return dropped_BLD
