"""One vector for each event: the item's, merged with those of the columns that are switched on.

Source  de Souza Pereira Moreira et al., RecSys 2021, https://doi.org/10.1145/3460231.3474255 (Transformers4Rec): layer norm
        of each part before the merge, soft one-hot embeddings of numbers, element-wise merges.
Differs A soft one-hot begins as bins of equal width over -2..2, where columns of data/etl have their values.
Shapes  B sessions, L events, D hidden size, W width of a column's vector, N columns of numbers, K bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, Lt
from jaxtyping import Float
from pydantic import AfterValidator, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from models.core import config
from models.core.base import Features
from models.core.batch import PADDING, SessionBatch
from models.core.dropout import Dropout

WIDEST = 2.0
"""The outer bins' centres: numbers of data/etl have standard deviation 1 or are sines and cosines."""


def _beside_the_item(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a column is named twice")
    if "item_id" in names:
        raise ValueError("item_id is read in any case")
    if "timestamp" in names:
        raise ValueError("timestamp is no column of numbers to learn from: name hour_sin, hour_cos, weekday_sin, weekday_cos")
    return names


class InputConfig(config.Config):
    """What a model reads of each event."""

    embedding_dropout: Annotated[float, Ge(0), Lt(1), config.Search(0.0, 0.6)]
    """Share 0..1 of an event vector's numbers that training blanks."""
    columns: Annotated[tuple[str, ...], AfterValidator(_beside_the_item)]
    """Columns of data/etl that are read beside the item, such as category, brand, price, event_type, hour_sin; [] for none."""
    item_columns: Annotated[tuple[str, ...], AfterValidator(_beside_the_item)] = ()
    """Columns of indices that describe items, such as category and brand: the vectors of an item's values, at its last
    training event, are added to its own, where it is read and where it is scored. [] for none."""
    merge: Literal["concat", "add", "multiply"]
    """How the columns' vectors meet the item's. concat: side by side, then a matrix to the hidden size. add: the sum of all.
    multiply: the item's times the sum of the columns'."""
    column_size: Annotated[PositiveInt, Le(1024)] | None
    """Width of a column's vector (merge: concat). Empty: 8 times the fourth root of its number of values, at most the
    hidden size."""
    numbers: Literal["linear", "soft_one_hot"]
    """How a number becomes a vector. linear: times one vector, plus another. soft_one_hot: a mean of `bins` vectors."""
    bins: Annotated[int, Ge(2), Le(1024), config.Search(4, 64, log=True)]
    """Vectors that a number's vector is the mean of, weighted by how near their bins are (numbers: soft_one_hot)."""


class EventInputs(nn.Module):
    """From a batch to event vectors. The items' vectors are the caller's: their weights are stored once.

    vectors  gives an item's vector, `size` wide, for its index
    """

    def __init__(self, config: InputConfig, features: Features, vectors: Callable[[Tensor], Tensor], size: int) -> None:
        super().__init__()
        self.config, self.vectors = config, [vectors]  # in a list: no submodule
        self.dropout = Dropout(config.embedding_dropout)
        self.numbers = tuple(name for name in config.columns if name not in features.cardinalities)
        if not config.columns:
            return
        sizes = {name: features.cardinalities[name] for name in config.columns if name in features.cardinalities}
        self.of_item = nn.LayerNorm(size)
        self.of_index = nn.ModuleDict({name: Indices(count, self._width(count, size)) for name, count in sizes.items()})
        total = size + sum(self._width(count, size) for count in sizes.values())
        if self.numbers:
            width = self._width(config.bins, size)
            self.of_number = Numbers(config, len(self.numbers), width)
            total += width * len(self.numbers)
        if config.merge == "concat":
            self.join = nn.Linear(total, size)

    def forward(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        items_BLD = self.vectors[0](batch.items)
        if self.config.columns:
            items_BLD = self._merged(self.of_item(items_BLD), batch)
        dropped_BLD: Tensor = self.dropout(items_BLD)
        return dropped_BLD

    def _merged(self, items_BLD: Tensor, batch: SessionBatch) -> Tensor:
        parts = [one(batch.columns[name]) for name, one in self.of_index.items()]
        if self.numbers:
            numbers_BLNW = self.of_number(torch.stack([batch.columns[name] for name in self.numbers], -1))
            parts.append(numbers_BLNW.flatten(2) if self.config.merge == "concat" else numbers_BLNW.sum(2))
        if self.config.merge == "concat":
            joined_BLD: Tensor = self.join(torch.cat([items_BLD, *parts], -1))
            return joined_BLD
        total_BLD = torch.stack(parts).sum(0)
        return items_BLD + total_BLD if self.config.merge == "add" else items_BLD * total_BLD

    def _width(self, values: int, size: int) -> int:
        if self.config.merge != "concat":
            return size
        return self.config.column_size or min(size, math.ceil(8 * values**0.25))


class Indices(nn.Module):
    """A vector for each index of a column, normed; 0 is padding."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(count, width, padding_idx=PADDING)
        self.norm = nn.LayerNorm(width)
        nn.init.uniform_(self.table.weight, -(width**-0.5), width**-0.5)
        nn.init.zeros_(self.table.weight[PADDING].detach())

    def forward(self, indices_BL: Tensor) -> Tensor:
        normed_BLW: Tensor = self.norm(self.table(indices_BL))
        return normed_BLW


class Numbers(nn.Module):
    """A vector for each number of N columns, normed."""

    def __init__(self, config: InputConfig, columns: int, width: int) -> None:
        super().__init__()
        self.soft = config.numbers == "soft_one_hot"
        if self.soft:
            centre_K = torch.linspace(-WIDEST, WIDEST, config.bins)
            steepness = ((config.bins - 1) / (2 * WIDEST)) ** 2  # a normal curve as wide as a bin: -(x - c)**2 / 2 s**2
            self.slope = nn.Parameter((centre_K * steepness).repeat(columns, 1))
            self.start = nn.Parameter((-(centre_K**2) * steepness / 2).repeat(columns, 1))
            self.table = nn.Parameter(torch.empty(columns, config.bins, width).uniform_(-(width**-0.5), width**-0.5))
        else:
            self.slope, self.start = (nn.Parameter(torch.empty(columns, width).uniform_(-1, 1)) for _ in range(2))
        self.gain, self.shift = nn.Parameter(torch.ones(columns, width)), nn.Parameter(torch.zeros(columns, width))

    def forward(self, values_BLN: Tensor) -> Tensor:
        vectors_BLNW = values_BLN[..., None] * self.slope + self.start
        if self.soft:
            vectors_BLNW = torch.einsum("blnk,nkw->blnw", torch.softmax(vectors_BLNW, -1), self.table)
        return functional.layer_norm(vectors_BLNW, vectors_BLNW.shape[-1:]) * self.gain + self.shift
