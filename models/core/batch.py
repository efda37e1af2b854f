"""Sessions as tensors: what a model sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

PADDING = 0
"""Index of no item; items are 1..num_items."""


@dataclass(frozen=True)
class SessionBatch:
    """Sessions or prefixes of sessions, oldest event first, padded on the right with PADDING.

    items    [B, L] item indices
    lengths  [B] events of each session, 1..L
    columns  other event columns by name, [B, L] each: indices (0 = padding) or floats
    before   [P] flat places, row * L + column, of the events that have a next one, row by row. Who knows how many there
             are gives them; else they are searched for when they are asked for, and a GPU is waited for
    """

    items: Int[Tensor, "B L"]
    lengths: Int[Tensor, "B"]
    columns: dict[str, Tensor] = field(default_factory=dict)
    before: Int[Tensor, "P"] | None = None

    def mask(self) -> Bool[Tensor, "B L"]:
        """True where there is an event."""
        return torch.arange(self.items.shape[1], device=self.items.device) < self.lengths[:, None]

    def last(self) -> Int[Tensor, "B"]:
        """The place of each row's last event."""
        return (self.lengths - 1).clamp(min=0)

    def __len__(self) -> int:
        return self.items.shape[0]

    def to(self, device: torch.device) -> SessionBatch:
        columns = {name: values.to(device) for name, values in self.columns.items()}
        before = None if self.before is None else self.before.to(device)
        return SessionBatch(self.items.to(device), self.lengths.to(device), columns, before)

    def split(self, rows: int) -> Iterator[SessionBatch]:
        """Parts of at most that many rows, in order."""
        for begin in range(0, len(self), rows):
            part = slice(begin, begin + rows)
            columns = {name: values[part] for name, values in self.columns.items()}
            yield SessionBatch(self.items[part], self.lengths[part], columns)

    def prefixes(self) -> SessionBatch:
        """Every prefix that has a next event: B sessions become sum(lengths - 1) prefixes.

        Order: session by session, shortest prefix first. The events after a prefix are blanked, so that no model can
        look at its target.
        """
        places, width = self.before_targets(), self.items.shape[1]
        session, lengths = places // max(width, 1), places % max(width, 1) + 1
        keep = torch.arange(width, device=self.items.device) < lengths[:, None]
        blank = {name: values[session].where(keep, 0) for name, values in self.columns.items()}
        return SessionBatch(self.items[session].where(keep, PADDING), lengths, blank)

    def before_last(self) -> tuple[SessionBatch, Int[Tensor, "B"]]:
        """Each session without its last event, and the item of that event; sessions have two events or more."""
        before = self.lengths - 1
        keep = torch.arange(self.items.shape[1], device=self.items.device) < before[:, None]
        blank = {name: values.where(keep, 0) for name, values in self.columns.items()}
        target = self.items.gather(1, before[:, None]).squeeze(1)
        return SessionBatch(self.items.where(keep, PADDING), before, blank), target

    def before_targets(self) -> Int[Tensor, "P"]:
        """Flat places, row * L + column, of the events that have a next one, in the order of `prefixes`."""
        if self.before is not None:
            return self.before
        return places_before(self.lengths, self.items.shape[1])

    def targets(self) -> Int[Tensor, "P"]:
        """The item that follows each prefix, in the order of `prefixes`."""
        return self.items.flatten()[self.before_targets() + 1]


def at(values: Shaped[Tensor, "B L *X"], place: Int[Tensor, "B"]) -> Shaped[Tensor, "B *X"]:
    """Of each row what stands at its place."""
    return values[torch.arange(place.shape[0], device=place.device), place]


def places_before(lengths: Int[Tensor, "B"], width: int, count: int | None = None) -> Int[Tensor, "P"]:
    """Flat places, row * width + column, of the events that have a next one. Who knows their count spares a GPU the wait."""
    counts = (lengths - 1).clamp(min=0)
    rows = torch.arange(len(lengths), device=lengths.device)
    row = torch.repeat_interleave(rows, counts, output_size=count)
    first = counts.cumsum(0) - counts
    return row * width + torch.arange(len(row), device=lengths.device) - first[row]
