"""Sessions of an application to the arrays of a request, and the arrays of an answer back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines.columns import text_hash
from pipelines.errors import DataError
from pipelines.stores.answers import DENIED, EVENT_TYPES, EXCLUDE, INPUT, NO_ITEM, NO_TYPE, TIMES, Answers, Request, fit, pad

Item = int | str
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """An item of a session with what a model may read beside it.

    timestamp   of the event, with its time zone; or microseconds since 1970 UTC
    event_type  as it stands in the events: view, cart, ...
    """

    item: Item
    timestamp: datetime | int | None = None
    event_type: str | None = None


@dataclass(frozen=True)
class Answer:
    """What is recommended to one session.

    items     raw ids (texts, with a vocabulary of texts), best first
    scores    falling, the model's own scale
    fallback  no item of the session is known: these are the most popular items
    version   of the registry, that answered
    """

    items: list[Any]
    scores: list[float]
    fallback: bool
    version: int


class Requests:
    """Both directions; with the ids of a vocabulary where items are text."""

    def __init__(self, vocabulary: Path | None) -> None:
        self.ids: dict[str, int] = {}
        if vocabulary:
            rows = pl.read_parquet(vocabulary, columns=["item_id", "item_key"]).drop_nulls("item_key")
            self.ids = dict(zip(rows["item_key"].to_list(), rows["item_id"].to_list(), strict=True))
        self.keys = {item: key for key, item in self.ids.items()}

    def request(
        self,
        sessions: Sequence[Sequence[Item | Event]],
        widths: Mapping[str, int],
        exclude_seen: bool | None,
        deny: Sequence[Item],
    ) -> Request:
        """What the served model, whose inputs these are, reads of the sessions; what it does not read is left out.

        DataError if it reads times or types of events and they are not given, or takes fewer denied items, or none.
        """
        events = [[one if isinstance(one, Event) else Event(one) for one in session] for session in sessions]
        length = widths[INPUT]
        found = {INPUT: pad([[self._id(event.item) for event in session] for session in events], length)}
        if TIMES in widths:
            found[TIMES] = pad([[_time(event) for event in session] for session in events], length, 0)
        if EVENT_TYPES in widths:
            found[EVENT_TYPES] = pad([[_type(event) for event in session] for session in events], length, NO_TYPE)
        if exclude_seen is not None:
            found[EXCLUDE] = np.full((len(events), 1), int(exclude_seen))
        if denied := [item for item in map(self._id, deny) if item != NO_ITEM]:
            most = widths.get(DENIED, len(denied))
            if len(denied) > most:
                next_step = "deny fewer, or raise serve.max_denied in params.yaml and register a version"
                raise DataError(f"{len(denied)} items are denied", f"the served version takes {most} at most", next_step)
            found[DENIED] = np.repeat(pad([denied], most), len(events), axis=0)
        return fit(found, widths)

    def answers(self, given: Answers, version: int, k: int) -> list[Answer]:
        """One for each session, at most k items each."""
        found = []
        for ids, scores, fallback in zip(given.ids, given.scores, given.fallback, strict=True):
            there = (ids != NO_ITEM).nonzero()[0][:k]
            items = [self.keys.get(item, item) for item in ids[there].tolist()]
            found.append(Answer(items, scores[there].tolist(), bool(fallback[0]), version))
        return found

    def _id(self, item: Item) -> int:
        if isinstance(item, str):
            if not self.keys:
                next_step = "give the version's vocabulary: Client(vocabulary=...)"
                raise DataError(f"item {item!r} is text", "Client.recommend", next_step)
            return self.ids.get(item, NO_ITEM)
        return int(item)


def _time(event: Event) -> int:
    """Microseconds since 1970 UTC."""
    time = event.timestamp
    if isinstance(time, int):
        return time
    if time is None or time.tzinfo is None:
        what = "the served model reads the times of events" + (", one has none" if time is None else ", one has no time zone")
        raise DataError(what, f"Client.recommend: {event}", "give events: Event(item, timestamp=datetime.now(UTC))")
    return (time - EPOCH) // timedelta(microseconds=1)


def _type(event: Event) -> int:
    if event.event_type is None:
        what = "the served model reads the types of events, one has none"
        raise DataError(what, f"Client.recommend: {event}", 'give events: Event(item, event_type="view")')
    return text_hash(event.event_type)
