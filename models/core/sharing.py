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

    starts    [V + 1] where each item begins
    sessions  [E] item after item, newest session first
    places    [E] the item's last event in that session, counted from 1
    count     all sessions
    """

    starts: Int[Tensor, "V+1"]
    sessions: Int[Tensor, "E"]
    places: Int[Tensor, "E"]
    count: int


class Sampled(NamedTuple):
    """The sessions found for each row, newest first; what stands behind them has `shared` 0.

    session  its number
    shared   sum of the weights of the shared items
    latest   index of the latest shared event of the row
    place    the session's last event of a shared item, counted from 1
    """

    session: Int[Tensor, "B C"]
    shared: Int[Tensor, "B C"]
    latest: Int[Tensor, "B C"]
    place: Int[Tensor, "B C"]


def last_events(batch: SessionBatch) -> Bool[Tensor, "B L"]:
    """True at the last event of each item of the session: what came earlier is a repeat."""
    order_L = torch.arange(batch.items.shape[1], device=batch.items.device)
    again_BLL = (batch.items[:, :, None] == batch.items[:, None, :]) & (order_L[:, None] < order_L)
    return batch.mask() & ~again_BLL.any(2)


def sample(index: SessionsOfItems, items_BL: Tensor, asked_BL: Tensor, weight_BL: Tensor, most: int) -> Sampled:
    """The `most` newest sessions that share one of the asked items; each asked item once in a row.

    Older than the newest `most` of an item is older than the newest `most` of the row: so many are looked up at most. They are
    sorted by row and age, and what lies together is one session.
    """
    rows, longest = items_BL.shape
    begin_BL = index.starts[items_BL]
    found_BL = (index.starts[items_BL + 1] - begin_BL).clamp(max=most) * asked_BL
    unsorted_N, within_N = ragged.expand(found_BL.flatten())
    pair_N = begin_BL.flatten()[unsorted_N] + within_N
    row_BL = torch.arange(rows, device=items_BL.device)[:, None].expand_as(items_BL)
    row_start_N = (row_BL * index.count).flatten()[unsorted_N]
    key_N, order_N = torch.sort(row_start_N + index.sessions[pair_N])
    event_N = unsorted_N[order_N]
    row_N = row_BL.flatten()[event_N]

    edge = torch.full_like(items_BL[0, :1], -1)
    first_N = (key_N != torch.cat([edge, key_N])[:-1]).long()
    begin_B = ragged.starts(torch.zeros_like(items_BL[:, 0]).scatter_add(0, row_N, first_N))
    rank_N = first_N.cumsum(0) - 1 - begin_B[row_N]
    unused = rows * most
    slot_N = torch.where(rank_N < most, row_N * most + rank_N, unused)

    def of_sampled(values_N: Tensor, how: str) -> Int[Tensor, "B C"]:
        slots = key_N.new_zeros(unused + 1).scatter_reduce(0, slot_N, values_N, how)
        return slots[:-1].reshape(rows, most)

    return Sampled(
        of_sampled(key_N - row_start_N[order_N], "amax"),
        of_sampled(weight_BL.flatten()[event_N], "sum"),
        of_sampled(event_N - row_N * longest, "amax"),
        of_sampled(index.places[pair_N][order_N].long(), "amax"),
    )
