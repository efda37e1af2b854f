"""A small client of the served model; may be shared between threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pipelines.errors import DataError, ServiceError
from pipelines.stores.answers import NO_ITEM, pad
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server

Item = int | str


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
        self._length: int | None = None

    def recommend(self, sessions: Sequence[Sequence[Item]], k: int = 20) -> list[Answer]:
        """One answer for each session (most recent item last), at most k items each. ServiceError if Triton is away."""
        if not sessions:
            return []
        raw = [[self._id(item) for item in session] for session in sessions]
        try:
            given, version = self.server.ask(self.model, pad(raw, self._longest()))
        except ServiceError:
            self._length = None  # a new version may read another length: ask once more
            given, version = self.server.ask(self.model, pad(raw, self._longest()))
        answers = []
        for ids, scores, fallback in zip(given.ids, given.scores, given.fallback, strict=True):
            there = (ids != NO_ITEM).nonzero()[0][:k]
            items = [self.keys.get(item, item) for item in ids[there].tolist()]
            answers.append(Answer(items, scores[there].tolist(), bool(fallback[0]), version))
        return answers

    def _longest(self) -> int:
        if self._length is None:
            self._length = self.server.length(self.model)
        return self._length

    def _id(self, item: Item) -> int:
        if isinstance(item, int):
            return item
        if not self.keys:
            raise DataError(f"item {item!r} is text", "Client.recommend", "give the version's vocabulary: Client(vocabulary=...)")
        return self.ids.get(item, NO_ITEM)
