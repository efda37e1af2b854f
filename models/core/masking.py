"""Hidden events: which ones training hides, and the hidden event that stands for the next one.

Source  Sun et al., CIKM 2019, https://arxiv.org/abs/1904.06690 (BERT4Rec: cloze, and sessions of which only the last event
        is hidden, as when the model serves); Yang et al., NeurIPS 2019, https://arxiv.org/abs/1906.08237 (XLNet: hidden events
        in a random order).
Differs A share is kept session by session instead of event by event: no session without a hidden event, none without a
        visible one. Where the last event alone is hidden, the session is cut behind a random event before: whole sessions
        would not teach what follows their beginnings.
Shapes  B sessions, L places, D hidden size.
"""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.core import config
from models.core.batch import PADDING, SessionBatch
from models.core.positions import TIMESTAMP

VISIBLE = -1
"""Rank of an event that is not hidden."""


class MaskingConfig(config.Config):
    """What training hides."""

    masked_share: Annotated[float, Gt(0), Lt(1), config.Search(0.1, 0.8)]
    """Share 0..1 of a session's events that training hides; at least one, never all."""
    next_share: Annotated[float, Ge(0), Le(1), config.Search(0.0, 1.0)]
    """Share 0..1 of the sessions that training cuts behind a random event, which alone is hidden: what is asked when serving."""


class HiddenEvent(nn.Module):
    """The vector that stands in the place of a hidden event: no item's."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.empty(hidden_size).uniform_(-(hidden_size**-0.5), hidden_size**-0.5))

    def forward(self, events: Float[Tensor, "B L D"], hidden: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        return torch.where(hidden[..., None], self.vector, events)


def hide(batch: SessionBatch, masking: MaskingConfig) -> tuple[SessionBatch, Int[Tensor, "B L"]]:
    """The sessions, some cut short, and for each place VISIBLE or its rank 0, 1, .. in a random order of the hidden events."""
    cut_B1 = torch.rand(len(batch), 1, device=batch.items.device) < masking.next_share
    lengths_B = torch.where(cut_B1[:, 0], random_ends(batch.lengths), batch.lengths)
    places_L = torch.arange(batch.items.shape[1], device=batch.items.device)
    next_BL = torch.where((places_L == lengths_B[:, None] - 1) & (lengths_B[:, None] > 1), 0, VISIBLE)
    rank_BL = torch.where(cut_B1, next_BL, random_ranks(lengths_B, batch.items.shape[1], masking.masked_share))
    return SessionBatch(batch.items, lengths_B, batch.columns), rank_BL


def random_ends(lengths: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
    """A length of at least 2 for each session, each as likely; 1 stays 1."""
    more_B = (torch.rand(len(lengths), device=lengths.device, dtype=torch.float64) * (lengths - 1)).long()
    return torch.minimum(more_B + 2, lengths)


def random_ranks(lengths: Int[Tensor, "B"], width: int, share: float) -> Int[Tensor, "B L"]:
    """Ranks of that share of each session's events, at least one and not all; VISIBLE elsewhere."""
    device = lengths.device
    padding_BL = torch.arange(width, device=device) >= lengths[:, None]
    rank_BL = torch.rand(len(lengths), width, device=device).masked_fill(padding_BL, 2.0).argsort(1).argsort(1)
    # a fraction of an event is one event as often as the fraction says
    count_B = (share * lengths + torch.rand(len(lengths), device=device)).long()
    count_B = torch.minimum(count_B.clamp(min=1), lengths - 1)
    return torch.where(rank_BL < count_B[:, None], rank_BL, VISIBLE)


def without_times_of(hidden: Bool[Tensor, "B L"], batch: SessionBatch) -> SessionBatch:
    """The same sessions; a hidden event has the time of the visible one before it (none: 0), as a next event would have."""
    if TIMESTAMP not in batch.columns:
        return batch
    known_BL = batch.columns[TIMESTAMP].masked_fill(hidden, 0).cummax(1).values
    return SessionBatch(batch.items, batch.lengths, {**batch.columns, TIMESTAMP: known_BL})


def with_next(batch: SessionBatch, limit: int) -> tuple[SessionBatch, Int[Tensor, "B L"]]:
    """The sessions with one more event, their last, and as `hide` has it that this one is hidden. A session of `limit` events
    loses its oldest.

    The new event's columns are those of the last event, so that no time passes before it; its item is PADDING.
    """
    items_BL, width = batch.items, min(batch.items.shape[1] + 1, limit)
    dropped_B = (batch.lengths + 1 - width).clamp(min=0)
    next_B = batch.lengths - dropped_B
    place_L = torch.arange(width, device=items_BL.device)
    source_BL = torch.minimum(place_L + dropped_B[:, None], (batch.lengths[:, None] - 1).clamp(min=0))
    items = torch.where(place_L < next_B[:, None], items_BL.gather(1, source_BL), PADDING)
    columns = {name: values.gather(1, source_BL) for name, values in batch.columns.items()}
    return SessionBatch(items, next_B + 1, columns), torch.where(place_L == next_B[:, None], 0, VISIBLE)
