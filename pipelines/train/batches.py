"""Batches of sessions of similar length, about as many events in each: little padding, and memory has a bound.

A batch counted in sessions would hold ten times the events where sessions are ten times as long: as much more memory, and
each of their events would weigh ten times less, for a step takes the mean over its events.

Everything is planned on the host, epoch by epoch, from the lengths alone: no batch waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

STEPS_PER_EPOCH = 300
"""What `by_size` aims at."""
POOL = 64
"""Batches that are sorted by length together: the larger, the less padding and the less chance."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Sessions of one optimizer step: their numbers, and their lengths, which would have to be asked of the device otherwise."""

    sessions: Numbers
    lengths: Numbers

    @property
    def longest(self) -> int:
        return int(self.lengths.max(initial=0))

    @property
    def events(self) -> int:
        return int(self.lengths.sum())

    @property
    def targets(self) -> int:
        """Events that have a next one; every session has at least two events."""
        return self.events - len(self.sessions)

    @property
    def places(self) -> int:
        return self.longest * len(self.sessions)

    def share(self, rank: int, size: int) -> Part:
        """Of one of several processes: sessions of all lengths."""
        return Part(self.sessions[rank::size], self.lengths[rank::size])


def by_size(events: int) -> int:
    """Events of a batch for so many training events: small data need many small steps, large data few wide ones."""
    return min(max(round(events / STEPS_PER_EPOCH), 256), 4096)


def plan(sessions: Numbers, lengths: Numbers, batch_events: int, generator: torch.Generator) -> list[Part]:
    """Every session once, in a new order each time; events and padding of a batch are at most `batch_events` (or one session)."""
    order = torch.randperm(len(sessions), generator=generator).numpy()
    pool = max(1, round(POOL * batch_events / max(float(lengths.mean()), 1.0))) if len(lengths) else 1
    parts: list[Part] = []
    for begin in range(0, len(order), pool):
        chosen = order[begin : begin + pool]
        chosen = chosen[np.argsort(-lengths[chosen], kind="stable")]
        parts += [Part(sessions[chosen[cut]], lengths[chosen[cut]]) for cut in cuts(lengths[chosen], batch_events)]
    return [parts[place] for place in torch.randperm(len(parts), generator=generator).tolist()]


def cuts(falling: npt.NDArray[Any], batch_events: int) -> Iterator[slice]:
    """Where to cut sessions whose lengths fall: the first of each part is its longest."""
    begin = 0
    while begin < len(falling):
        end = begin + max(1, batch_events // int(falling[begin]))
        yield slice(begin, min(end, len(falling)))
        begin = end
