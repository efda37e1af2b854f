"""A small client of the served model; may be shared between threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.columns import text_hash
from pipelines.errors import DataError, ServiceError
from pipelines.stores.answers import EVENT_TYPES, INPUT, NO_ITEM, NO_TYPE, TIMES, Request, fit, pad
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server

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


class Client:
    """Recommendations of the served model.

    url         host:port of Triton's HTTP endpoint; default: the settings
    vocabulary  a version's vocabulary.parquet; needed where item ids are text
    """

    def __init__(self, url: str | None = None, vocabulary: Path | None = None, timeout_s: float = 5.0) -> None:
        self.server, self.model = Server(url, timeout_s), settings().model_name
        self.ids: dict[str, int] = {}
        if vocabulary:
            rows = pl.read_parquet(vocabulary, columns=["item_id", "item_key"]).drop_nulls("item_key")
            self.ids = dict(zip(rows["item_key"].to_list(), rows["item_id"].to_list(), strict=True))
        self.keys = {item: key for key, item in self.ids.items()}
        self._inputs: dict[str, int] | None = None

    def recommend(self, sessions: Sequence[Sequence[Item | Event]], k: int = 20) -> list[Answer]:
        """One answer for each session (most recent item last), at most k items each.

        DataError if the served model reads times or types of events and they are not given; ServiceError if Triton is away.
        """
        if not sessions:
            return []
        events = [[one if isinstance(one, Event) else Event(one) for one in session] for session in sessions]
        try:
            given, version = self.server.ask(self.model, self._request(events))
        except ServiceError:
            self._inputs = None  # a new version may read other inputs, or another length: ask once more
            given, version = self.server.ask(self.model, self._request(events))
        answers = []
        for ids, scores, fallback in zip(given.ids, given.scores, given.fallback, strict=True):
            there = (ids != NO_ITEM).nonzero()[0][:k]
            items = [self.keys.get(item, item) for item in ids[there].tolist()]
            answers.append(Answer(items, scores[there].tolist(), bool(fallback[0]), version))
        return answers

    def _request(self, sessions: Sequence[Sequence[Event]]) -> Request:
        """What the served model reads of these sessions; what it does not read is left out."""
        if self._inputs is None:
            self._inputs = self.server.inputs(self.model)
        length = self._inputs[INPUT]
        found = {INPUT: pad([[self._id(event.item) for event in session] for session in sessions], length)}
        if TIMES in self._inputs:
            found[TIMES] = pad([[_time(event) for event in session] for session in sessions], length, 0)
        if EVENT_TYPES in self._inputs:
            found[EVENT_TYPES] = pad([[_type(event) for event in session] for session in sessions], length, NO_TYPE)
        return fit(found, self._inputs)

    def _id(self, item: Item) -> int:
        if isinstance(item, int):
            return item
        if not self.keys:
            raise DataError(f"item {item!r} is text", "Client.recommend", "give the version's vocabulary: Client(vocabulary=...)")
        return self.ids.get(item, NO_ITEM)


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
