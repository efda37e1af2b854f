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
from pipelines.stores.answers import (
    BLANKS,
    DENIED,
    EVENT_TYPES,
    EXCLUDE,
    INPUT,
    NO_ITEM,
    NO_TYPE,
    TIMES,
    Answers,
    Ids,
    Request,
    take,
)
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


def golden(request: Request, answers: Answers, popular: Ids, max_denied: int, count: int = 20) -> Request:
    """Some of the sessions, spread over all, and the odd ones: left-padded, with strangers, only strangers, empty.

    Between them, every choice: the last of the sessions with the items seen left out, with them let in, without the best of
    its answers; and an empty session without the most popular items.

    answers  to the request, which makes no choice; popular: raw ids, the most popular first
    """
    request = {name: values for name, values in request.items() if name not in (EXCLUDE, DENIED)}
    size = len(request[INPUT])
    chosen = np.linspace(0, size - 1, min(count, size)).astype(int)
    some = take(request, chosen)
    first, last = take(some, slice(1)), take(some, slice(len(chosen) - 1, None))
    order = np.argsort(first[INPUT] != NO_ITEM, axis=1, kind="stable")
    left_padded = {name: np.take_along_axis(values, order, 1) for name, values in first.items()}
    mixed = {**last, INPUT: np.where(last[INPUT] == NO_ITEM, STRANGER, last[INPUT])}
    strangers = {**first, INPUT: np.full_like(first[INPUT], STRANGER)}
    empty = {**first, INPUT: np.full_like(first[INPUT], NO_ITEM)}
    order_of_rows = (some, last, last, last, empty, left_padded, mixed, strangers, empty)
    whole = {name: np.concatenate([part[name] for part in order_of_rows]) for name in request}
    exclude = np.full((len(whole[INPUT]), 1), BLANKS[EXCLUDE])
    denied = np.full((len(whole[INPUT]), max_denied), BLANKS[DENIED])
    left_out, let_in, without, popular_without = range(len(chosen), len(chosen) + 4)
    exclude[left_out], exclude[let_in] = 1, 0
    for row, ids in ((without, answers.ids[chosen[-1]]), (popular_without, popular)):
        few = ids[: min(3, max_denied)]
        denied[row, : len(few)] = few
    return {**whole, EXCLUDE: exclude, DENIED: denied}
