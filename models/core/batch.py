"""Sessions as tensors: what a model sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int
from torch import Tensor

PADDING = 0
"""Index of no item; items are 1..num_items."""


@dataclass(frozen=True)
class SessionBatch:
    """Sessions or prefixes of sessions, oldest event first, padded on the right with PADDING.

    items    [B, L] item indices
    lengths  [B] events of each session, 1..L
    columns  other event columns by name, [B, L] each: indices (0 = padding) or floats
    """

    items: Int[Tensor, "B L"]
    lengths: Int[Tensor, "B"]
    columns: dict[str, Tensor] = field(default_factory=dict)

    def mask(self) -> Bool[Tensor, "B L"]:
        """True where there is an event."""
        return torch.arange(self.items.shape[1], device=self.items.device) < self.lengths[:, None]

    def __len__(self) -> int:
        return self.items.shape[0]

    def to(self, device: torch.device) -> SessionBatch:
        columns = {name: values.to(device) for name, values in self.columns.items()}
        return SessionBatch(self.items.to(device), self.lengths.to(device), columns)

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
        ends = torch.arange(1, self.items.shape[1], device=self.items.device)
        session, which = (ends < self.lengths[:, None]).nonzero(as_tuple=True)
        lengths = ends[which]
        keep = torch.arange(self.items.shape[1], device=self.items.device) < lengths[:, None]
        blank = {name: values[session].where(keep, 0) for name, values in self.columns.items()}
        return SessionBatch(self.items[session].where(keep, PADDING), lengths, blank)

    def targets(self) -> Int[Tensor, "P"]:
        """The item that follows each prefix, in the order of `prefixes`."""
        return self.items[:, 1:][self.mask()[:, 1:]]
