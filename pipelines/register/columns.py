"""The columns that a model reads beside the item, made inside the served graph: no client makes them, none can make them wrong.

category, brand, price    the item's, as it was last seen (data/etl/items.parquet)
item_age                  from the item's first day and the event's time
hour_*, weekday_*         from the event's time
event_type                from the hash of its text (pipelines/columns.py), 0 for none
timestamp                 the event's time

Training reads the category, brand and price of the event itself. They are the item's last ones for all events since the
item last changed; `docs/data.md` says how many others there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
import torch
from jaxtyping import Int
from torch import Tensor, nn

from pipelines.columns import BRAND, CATEGORY, EVENT, PRICE, TIME, text_hash
from pipelines.errors import DataError, nearest
from pipelines.features import AGE, CYCLE, DAY_S, HOUR_COS, HOUR_SIN, MICROSECONDS, MONDAY, NULL, UNSEEN, WEEKDAY_SIN
from pipelines.stores.answers import EVENT_TYPES, INPUT, NO_TYPE, TIMES
from pipelines.stores.meanings import Meaning

SOURCES = {
    **dict.fromkeys((CATEGORY, BRAND, PRICE), INPUT),
    **dict.fromkeys((TIME, AGE, *CYCLE), TIMES),
    EVENT: EVENT_TYPES,
}
"""Which input of the graph each column is made of, beside the item's id."""


def inputs(columns: Iterable[str]) -> tuple[str, ...]:
    """Names of the graph's inputs. DataError if a column cannot be made of what a client knows."""
    needed = {INPUT}
    for name in columns:
        if name not in SOURCES:
            what = f"the served model cannot make the column {name!r}"
            raise DataError(what, "zoo.<model>.columns", f"train without it; {nearest(name, SOURCES)}")
        needed.add(SOURCES[name])
    return tuple(name for name in (INPUT, TIMES, EVENT_TYPES) if name in needed)


def inputs_from(columns: Iterable[str]) -> tuple[str, ...]:
    """Columns of data/etl that requests are made of."""
    made = {TIMES: TIME, EVENT_TYPES: EVENT}
    return tuple(made[name] for name in inputs(columns) if name in made)


def of_items(columns: Iterable[str]) -> bool:
    """Whether one of them is the item's, and items.parquet is needed."""
    return any(SOURCES.get(name) == INPUT for name in columns)


class Columns(nn.Module):
    """Batches of items, times and event types to the model's columns.

    meanings    of the columns, as the model has learned them
    vocabulary  item_id, index, first_seen
    items       index, category, brand, price; needed where one of these is read
    """

    def __init__(self, meanings: Mapping[str, Meaning], vocabulary: pl.DataFrame, items: pl.DataFrame | None) -> None:
        super().__init__()
        self.meanings = dict(meanings)
        for name in meanings.keys() & {CATEGORY, BRAND, PRICE}:
            assert items is not None
            self.register_buffer(name, _of_items(items.sort("index")[name], meanings[name]))
        if EVENT in meanings:
            texts = (*meanings[EVENT].values, *meanings[EVENT].rare)
            self.register_buffer("type_hashes", torch.tensor([text_hash(text) for text in texts], dtype=torch.int64))
            self.register_buffer("type_indices", torch.tensor([meanings[EVENT].index(text) for text in texts], dtype=torch.int64))
        if AGE in meanings:
            first = vocabulary.sort("index")["first_seen"].cast(pl.Datetime("us")).to_physical().to_numpy()
            self.register_buffer("first_seen", torch.from_numpy(np.append(0, first)))
        if meanings.keys() & set(CYCLE):
            angle = torch.arange(7) * (2 * math.pi / 7)
            self.register_buffer("weekdays", torch.stack([angle.sin(), angle.cos()]))

    def forward(
        self, items: Int[Tensor, "B L"], times: Int[Tensor, "B L"] | None, types: Int[Tensor, "B L"] | None
    ) -> dict[str, Tensor]:
        """times in us UTC, types as hashes; both are needed only where `inputs` names them."""
        happened = items > 0
        return {name: self._column(name, items, times, types) * happened for name in self.meanings}

    def _column(self, name: str, items: Tensor, times: Tensor | None, types: Tensor | None) -> Tensor:
        if SOURCES[name] == INPUT:
            table: Tensor = getattr(self, name)
            return table[items]
        if name == EVENT:
            assert types is not None
            hashes, indices = getattr(self, "type_hashes"), getattr(self, "type_indices")  # noqa: B009
            same_BLN = types[:, :, None] == hashes
            index = (same_BLN * indices).sum(2)
            known: Tensor = index.where(same_BLN.any(2), UNSEEN).where(types != NO_TYPE, NULL).int()
            return known
        assert times is not None
        if name == TIME:
            return times
        if name == AGE:
            first_seen: Tensor = getattr(self, "first_seen")  # noqa: B009  of nn.Module, a Tensor
            days = (times - first_seen[items]).float() * (1 / (DAY_S * MICROSECONDS))
            return (days.clamp(min=0).log1p() - self.meanings[name].mean) / self.meanings[name].std
        second = times // MICROSECONDS
        day = second // DAY_S
        if name in (HOUR_SIN, HOUR_COS):
            angle = (second - day * DAY_S).float() * (2 * math.pi / DAY_S)
            return angle.sin() if name == HOUR_SIN else angle.cos()
        weekdays: Tensor = getattr(self, "weekdays")  # noqa: B009
        return weekdays[0 if name == WEEKDAY_SIN else 1][(day + MONDAY) % 7]


def _of_items(values: pl.Series, meaning: Meaning) -> Tensor:
    """The column's value for each item, by index; 0 for padding."""
    if meaning.role == "categorical":
        table = {text: meaning.index(text) for text in values.unique().to_list()}
        return torch.tensor([0, *(table[text] for text in values.to_list())], dtype=torch.int32)
    scaled = (np.log1p(values.to_numpy().astype(np.float64)) - meaning.mean) / meaning.std
    return torch.from_numpy(np.append(0, np.nan_to_num(scaled, nan=0.0))).float()  # an unknown price is the mean price
