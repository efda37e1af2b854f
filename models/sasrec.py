"""SASRec: self-attention over the events so far, the last state scores every item.

Source   Kang and McAuley, ICDM 2018, https://arxiv.org/abs/1808.09781.
Differs  Pre-norm blocks with gated residuals and SwiGLU layers (LiGR, 2025) instead of post-norm and ReLU. Positions are
         counted from the first event, so that one pass gives the states of all prefixes; or they are relative; a bias for
         the time between events can be added. Any loss of the head instead of one negative for each event.
Shapes   B sessions, L events, D hidden size.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from models.core.base import Features
from models.core.batch import SessionBatch
from models.core.repeats import RepeatsConfig, RepeatsModel
from models.core.transformer import Transformer, TransformerConfig


class SASRecConfig(TransformerConfig, RepeatsConfig):
    """Settings of SASRec."""


class SASRec(RepeatsModel):
    Config: ClassVar[type[SASRecConfig]] = SASRecConfig
    learning_rate: ClassVar[float] = 0.002
    config: SASRecConfig

    def __init__(self, config: SASRecConfig, features: Features) -> None:
        super().__init__(config, features)
        self.transformer = Transformer(config, features.max_session_length, causal=True)

    @classmethod
    def columns(cls, config: SASRecConfig) -> tuple[str, ...]:  # type: ignore[override]
        return config.read()

    def states(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """Padding comes after the last event: no state that is used has seen it."""
        states_BLD: Tensor = self.transformer(self.inputs(batch), batch)
        return states_BLD

    def last_state(self, batch: SessionBatch) -> Float[Tensor, "B D"]:
        state_B1D: Tensor = self.transformer(self.inputs(batch), batch, batch.last())
        return state_B1D.squeeze(1)
