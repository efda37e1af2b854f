"""Real sessions to ask the served model with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
import torch

from pipelines.columns import EVENT, TIME, text_hash
from pipelines.errors import DataError
from pipelines.features import FIRST_VALUE, RARE, UNSEEN
from pipelines.register.columns import inputs
from pipelines.split import TEST
from pipelines.stores.answers import EVENT_TYPES, INPUT, NO_ITEM, NO_TYPE, TIMES, Ids, Request, take
from pipelines.stores.meanings import Meaning
from pipelines.stores.sessions import Sessions

STRANGER = 2**62 + 1
"""An id that no shop uses, and the hash of no event type."""


def requests(data: Sessions, vocabulary: pl.DataFrame, count: int, meanings: Mapping[str, Meaning]) -> Request:
    """The newest test sessions without their last event, as a model asks for them that reads these columns; right-padded.

    [count or fewer, L]
    """
    chosen = data.of(TEST, at_least=2)[-count:]
    if len(chosen) == 0:
        raise DataError(
            "there is no test session with two events", "data/etl/split.npy", "raise split.test_days or split.test_share"
        )
    batch = data.batch(chosen)
    seen = torch.arange(batch.items.shape[1]) < (batch.lengths - 1)[:, None]
    raw = np.full(len(vocabulary) + 1, NO_ITEM, dtype=np.int64)
    raw[vocabulary["index"].to_numpy()] = vocabulary["item_id"].to_numpy()
    missing = data.features.max_session_length - batch.items.shape[1]

    def wide(values: Ids, blank: int) -> Ids:
        return np.pad(values, ((0, 0), (0, missing)), constant_values=blank)

    found = {INPUT: wide(raw[batch.items.where(seen, 0).numpy()], NO_ITEM)}
    needed = inputs(meanings)
    if TIMES in needed:
        found[TIMES] = wide(batch.columns[TIME].where(seen, 0).numpy(), 0)
    if EVENT_TYPES in needed:
        found[EVENT_TYPES] = wide(hashes(meanings[EVENT])[batch.columns[EVENT].where(seen, 0).numpy()], NO_TYPE)
    return found


def hashes(types: Meaning) -> Ids:
    """What a client sends for each index of the event type's column."""
    sent = np.full(FIRST_VALUE + len(types.values), NO_TYPE, dtype=np.int64)
    sent[UNSEEN] = STRANGER
    sent[RARE] = text_hash(types.rare[0]) if types.rare else STRANGER
    sent[FIRST_VALUE:] = [text_hash(text) for text in types.values]
    return sent


def golden(request: Request, count: int = 20) -> Request:
    """Some of the sessions, spread over all, and the odd ones: left-padded, with strangers, only strangers, empty."""
    size = len(request[INPUT])
    some = take(request, np.linspace(0, size - 1, min(count, size)).astype(int))
    first, last = take(some, slice(1)), take(some, slice(len(some[INPUT]) - 1, None))
    order = np.argsort(first[INPUT] != NO_ITEM, axis=1, kind="stable")
    left_padded = {name: np.take_along_axis(values, order, 1) for name, values in first.items()}
    mixed = {**last, INPUT: np.where(last[INPUT] == NO_ITEM, STRANGER, last[INPUT])}
    strangers = {**first, INPUT: np.full_like(first[INPUT], STRANGER)}
    empty = {**first, INPUT: np.full_like(first[INPUT], NO_ITEM)}
    return {name: np.concatenate([part[name] for part in (some, left_padded, mixed, strangers, empty)]) for name in request}
