"""The one interface of every session model.

Shapes  B sessions, L events, P prefixes, V = num_items + 1 (index 0 is padding and is never recommended).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
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
    """Columns of indices that the model reads beside the item: number of indices, padding included. What it reads and what
    is not here is a column of numbers."""


class SessionModel(nn.Module):
    """Predicts the next item of a session. Subclasses set `Config` and implement `scores` and (if trained) `loss`."""

    Config: ClassVar[type[BaseConfig]]
    learning_rate: ClassVar[float] = 0.004
    """Largest step size of AdamW where the settings name none."""

    def __init__(self, config: BaseConfig, features: Features) -> None:
        super().__init__()
        self.config, self.features = config, features

    @classmethod
    def columns(cls, config: BaseConfig) -> tuple[str, ...]:
        """Event columns that a batch must hold beside the item when the model learns."""
        return ()

    @classmethod
    def columns_to_score(cls, config: BaseConfig) -> tuple[str, ...]:
        """Those of them that `scores` reads: what the served model is asked with."""
        return cls.columns(config)

    @classmethod
    def item_columns(cls, config: BaseConfig) -> tuple[str, ...]:
        """Columns of indices of which the model is told each item's value before it learns; no batch holds them."""
        return ()

    def know(self, counts: Int[Tensor, "V"], values: Mapping[str, Int[Tensor, "V"]] | None = None) -> None:
        """Told before training begins: the training events of each item, and the items' values in `item_columns`."""

    def fold(self) -> None:
        """Do once what every `scores` would do again. The scores stay; the model cannot be trained any more."""

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

    def numbers_per_row(self) -> int:
        """About how many numbers `scores` holds in memory for each row; callers size their batches by it."""
        return self.features.num_items + 1


class CountingModel(SessionModel):
    """A model that is counted, not trained: one pass over the training sessions.

    A buffer's dimension that only the data decide is registered with size 0; `fit` and loading give it its size.
    """

    @abstractmethod
    def fit(self, batch: SessionBatch) -> None:
        """Learn from all training sessions, in time order; what is learned is kept in buffers."""

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.ndim == buffer.ndim:
                open_sizes = [old or new for old, new in zip(buffer.shape, saved.shape, strict=True)]
                setattr(self, name, buffer.new_empty(open_sizes))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def mask_padding(scores: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
    """Padding is no item: it never wins."""
    return scores.masked_fill(torch.arange(scores.shape[1], device=scores.device) == PADDING, float("-inf"))
