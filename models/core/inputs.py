"""One vector for each event: the item's, merged with those of the columns that are switched on.

Source  de Souza Pereira Moreira et al., RecSys 2021 (Transformers4Rec): layer norm of each part before the merge,
        soft one-hot embeddings of numbers.
Shapes  B sessions, L events, D hidden size.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Lt
from jaxtyping import Float
from torch import Tensor, nn

from models.core import config
from models.core.base import Features
from models.core.batch import SessionBatch


class InputConfig(config.Config):
    """What a model reads of each event."""

    embedding_dropout: Annotated[float, Ge(0), Lt(1), config.Search(0.0, 0.6)]
    """Share 0..1 of an event vector's numbers that training blanks."""
    columns: tuple[str, ...]
    """Columns of data/etl that are read beside the item, such as category, brand, price, event_type, hour_sin; [] for none."""


class EventInputs(nn.Module):
    """From a batch to event vectors."""

    def __init__(self, config: InputConfig, features: Features, table: nn.Embedding) -> None:
        super().__init__()
        self.table = [table]  # in a list: the head owns it, the weights are stored once
        self.dropout = nn.Dropout(config.embedding_dropout)

    def forward(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        dropped_BLD: Tensor = self.dropout(self.table[0](batch.items))
        return dropped_BLD
