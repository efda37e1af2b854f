"""What models that read a session event by event share: settings, event vectors, item scores, losses.

A model gives `states`: one vector after each event. What follows is told by that vector, through the item table.

Shapes  B sessions, L events, P events with a successor, D hidden size, V = num_items + 1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from models.core.base import Features, SessionModel
from models.core.batch import SessionBatch, at
from models.core.heads import HeadConfig, ItemHead
from models.core.inputs import EventInputs, InputConfig
from models.core.item_columns import ItemColumns


class SequenceConfig(InputConfig, HeadConfig):
    """Settings that every sequence model has."""


class SequenceModel(SessionModel):
    """A causal model: the state after an event has seen that event and those before it, nothing else."""

    Config: ClassVar[type[SequenceConfig]]
    config: SequenceConfig

    def __init__(self, config: SequenceConfig, features: Features) -> None:
        super().__init__(config, features)
        sizes = {name: features.cardinalities[name] for name in config.item_columns}
        columns = ItemColumns(sizes, features.num_items, config.hidden_size) if sizes else None
        self.head = ItemHead(config, features.num_items, columns)
        self.inputs = EventInputs(config, features, self.head.vectors, config.hidden_size)

    @abstractmethod
    def states(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """The state after each event; places behind the last event may hold anything."""

    def last_state(self, batch: SessionBatch) -> Float[Tensor, "B D"]:
        """That of `states` after the last event; a model that can make it without the others does so."""
        return at(self.states(batch), batch.last())

    @classmethod
    def columns(cls, config: SequenceConfig) -> tuple[str, ...]:  # type: ignore[override]
        return config.columns

    @classmethod
    def item_columns(cls, config: SequenceConfig) -> tuple[str, ...]:  # type: ignore[override]
        return config.item_columns

    def know(self, counts: Int[Tensor, "V"], values: Mapping[str, Int[Tensor, "V"]] | None = None) -> None:
        self.head.know(counts, values)

    def fold(self) -> None:
        self.head.fold()

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        return self.head.scores(self.last_state(batch))

    def scores_everywhere(self, batch: SessionBatch) -> Float[Tensor, "P V"]:
        return self.head.scores(self.before_targets(batch))

    def loss(self, batch: SessionBatch) -> Float[Tensor, ""]:
        return self.head.loss(self.before_targets(batch), batch.targets())

    def before_targets(self, batch: SessionBatch) -> Float[Tensor, "P D"]:
        return self.states(batch).flatten(0, 1).index_select(0, batch.before_targets())
