"""The one interface of every session model.

Shapes  B sessions, L events, P prefixes, V = num_items + 1 (index 0 is padding and is never recommended).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn

from models.core.batch import PADDING, SessionBatch
from models.core.config import Config as BaseConfig


class Features(BaseModel):
    """What a model must know of the data: fixed by etl, stored with the weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_items: PositiveInt
    """Items in the vocabulary; their indices are 1..num_items."""
    max_session_length: PositiveInt
    """Events a session has at most."""
    cardinalities: dict[str, int] = {}
    """Categorical columns beside the item: number of indices, padding included."""


class SessionModel(nn.Module):
    """Predicts the next item of a session. Subclasses set `Config` and implement `scores` and (if trained) `loss`."""

    Config: ClassVar[type[BaseConfig]]

    def __init__(self, config: BaseConfig, features: Features) -> None:
        super().__init__()
        self.config, self.features = config, features

    @abstractmethod
    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        """How likely each item is to be next; -inf for padding. Higher is better, the scale is the model's own."""

    def loss(self, batch: SessionBatch) -> Float[Tensor, ""]:
        """Training loss over whole sessions: every event after the first is a target."""
        raise TypeError(f"{type(self).__name__} is not trained by gradient descent")

    def scores_everywhere(self, batch: SessionBatch) -> Float[Tensor, "P V"]:
        """`scores` of every prefix that has a next event, in the order of `SessionBatch.prefixes`.

        Causal models override this: one pass over the session instead of one for each prefix.
        """
        return self.scores(batch.prefixes())


class CountingModel(SessionModel):
    """A model that is counted, not trained: one pass over the training sessions."""

    @abstractmethod
    def fit(self, batch: SessionBatch) -> None:
        """Learn from all training sessions, in time order; what is learned is kept in buffers."""


def mask_padding(scores: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
    """Padding is no item: it never wins."""
    return scores.index_fill(-1, torch.tensor([PADDING], device=scores.device), float("-inf"))
