"""The most recent sessions that share an item with each row: work and memory go with the pairs looked up, not with all sessions.

Shapes  B rows, L events, S sessions (0 is the newest), V = num_items + 1, E (item, session) pairs, C sampled, N pairs looked up.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.core import ragged
from models.core.batch import SessionBatch


class SessionsOfItems(NamedTuple):
    """The sessions that each item stands in.

    starts        [V + 1] where each item begins
    sessions      [E] item after item, newest session first
    places        [E] the item's last event in that session, counted from 1; None: not asked for
    num_sessions  all sessions
    """

    starts: Int[Tensor, "V+1"]
    sessions: Int[Tensor, "E"]
    places: Int[Tensor, "E"] | None
    num_sessions: int


class Sampled(NamedTuple):
    """The sessions found for each row, newest first; what stands behind them has `shared` 0.

    session  its number
    shared   sum of the weights of the shared items
    latest   index of the latest shared event of the row
    place    the session's last event of a shared item, counted from 1; None: not asked for
    """

    session: Int[Tensor, "B C"]
    shared: Int[Tensor, "B C"]
    latest: Int[Tensor, "B C"]
    place: Int[Tensor, "B C"] | None


def last_events(batch: SessionBatch) -> Bool[Tensor, "B L"]:
    """True at the last event of each item of the session: what came earlier is a repeat."""
    same_BLL = batch.items[:, :, None] == batch.items[:, None, :]
    return batch.mask() & ~same_BLL.triu(1).any(2)


def sample(index: SessionsOfItems, items_BL: Tensor, asked_BL: Tensor, weight_BL: Tensor, most: int) -> Sampled:
    """The `most` newest sessions that share one of the asked items; each asked item once in a row.

    Older than the newest `most` of an item is older than the newest `most` of the row: so many are looked up at most. They are
    sorted by row and age, and what lies together is one session.
    """
    (rows, longest), device = items_BL.shape, items_BL.device
    begin_BL = index.starts[items_BL]
    found_BL = (index.starts[items_BL + 1] - begin_BL).clamp(max=most) * asked_BL
    event_of_pair, pair_N = ragged.expand(begin_BL, found_BL)
    row_B1 = torch.arange(rows, device=device)[:, None]
    row_BL = row_B1.expand_as(items_BL).flatten()
    row_start_N = (row_BL * index.num_sessions).index_select(0, event_of_pair)
    key_N, order_N = torch.sort(row_start_N + index.sessions.index_select(0, pair_N))
    event_N = event_of_pair.index_select(0, order_N)
    row_N = row_BL.index_select(0, event_N)

    before_N = torch.cat([torch.full((1,), -1, device=device), key_N])[:-1]
    first_N = (key_N != before_N).long()
    begin_B = ragged.starts(torch.zeros(rows, dtype=torch.int64, device=device).scatter_add(0, row_N, first_N))
    slot_N = first_N.cumsum(0) + (row_B1.squeeze(1) * most - begin_B[:-1] - 1).index_select(0, row_N)
    unused = rows * most
    slot_N = torch.where(slot_N < (row_N + 1) * most, slot_N, unused)

    def of_sampled(values_N: Tensor, how: str) -> Int[Tensor, "B C"]:
        slots = torch.zeros(unused + 1, dtype=torch.int64, device=device).scatter_reduce(0, slot_N, values_N, how)
        return slots[:-1].reshape(rows, most)

    return Sampled(
        (of_sampled(key_N, "amax") - row_B1 * index.num_sessions).clamp(min=0),
        of_sampled(weight_BL.flatten().index_select(0, event_N), "sum"),
        (of_sampled(event_N, "amax") - row_B1 * longest).clamp(min=0),
        None
        if index.places is None
        else of_sampled(index.places.index_select(0, pair_N).index_select(0, order_N).long(), "amax"),
    )
