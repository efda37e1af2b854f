"""BERT4Rec: a session is read from both sides, hidden items are found by what stands around them.

Source   Sun et al., CIKM 2019, https://arxiv.org/abs/1904.06690.
Differs  Pre-norm blocks as SASRec's here (gates and SwiGLU can be switched off); no layer between the last state and the
         item table; what is hidden: models/core/masking.py. Places are counted from the last event, as the
         paper's left padding does.
Shapes   B sessions, L events, D hidden size, V = num_items + 1.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.core.base import Features, SessionModel
from models.core.batch import SessionBatch, at
from models.core.masking import VISIBLE, HiddenEvent, MaskingConfig, hide, with_next, without_times_of
from models.core.sequence import SequenceModel
from models.core.transformer import Transformer, TransformerConfig, numbers_per_session


class BERT4RecConfig(MaskingConfig, TransformerConfig):
    """Settings of BERT4Rec."""


class BERT4Rec(SequenceModel):
    Config: ClassVar[type[BERT4RecConfig]] = BERT4RecConfig
    learning_rate: ClassVar[float] = 0.002
    config: BERT4RecConfig

    def __init__(self, config: BERT4RecConfig, features: Features) -> None:
        super().__init__(config, features)
        self.hidden = HiddenEvent(config.hidden_size)
        self.transformer = Transformer(config, features.max_session_length, causal=False)

    @classmethod
    def columns(cls, config: BERT4RecConfig) -> tuple[str, ...]:  # type: ignore[override]
        return config.read()

    def states(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """Of sessions without a hidden event. Each state has seen the whole session, so none tells what follows."""
        return self.read(batch, torch.zeros_like(batch.items, dtype=torch.bool))

    def read(self, batch: SessionBatch, hidden: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """The states; that of a hidden event is what is known of it."""
        states_BLD: Tensor = self.transformer(self.hidden(self.inputs(batch), hidden), batch)
        return states_BLD

    def loss(self, batch: SessionBatch) -> Float[Tensor, ""]:
        """Of the hidden events, given the others."""
        batch, rank_BL = hide(batch, self.config)
        hidden_BL = rank_BL != VISIBLE
        states_BLD = self.read(without_times_of(hidden_BL, batch), hidden_BL)
        return self.head.loss(states_BLD[hidden_BL], batch.items[hidden_BL])

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        """The next event is a hidden one behind the last."""
        longer, rank_BL = with_next(batch, self.features.max_session_length)
        return self.head.scores(at(self.read(longer, rank_BL != VISIBLE), longer.last()))

    def scores_everywhere(self, batch: SessionBatch) -> Float[Tensor, "P V"]:
        """Prefix by prefix: what comes later would change the states of what came before."""
        return SessionModel.scores_everywhere(self, batch)

    def numbers_per_row(self) -> int:
        return super().numbers_per_row() + numbers_per_session(self.config, self.features.max_session_length)
