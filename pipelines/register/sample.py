"""Real sessions to ask the served model with."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch

from pipelines.errors import DataError
from pipelines.split import TEST
from pipelines.stores.answers import NO_ITEM, Ids
from pipelines.stores.sessions import Sessions

STRANGER = 2**62 + 1
"""An id that no shop uses."""


def requests(data: Sessions, vocabulary: pl.DataFrame, count: int) -> Ids:
    """The newest test sessions without their last event, as raw ids; right-padded. [count or fewer, L]"""
    chosen = data.of(TEST, at_least=2)[-count:]
    if len(chosen) == 0:
        raise DataError(
            "there is no test session with two events", "data/etl/split.npy", "raise split.test_days or split.test_share"
        )
    batch = data.batch(chosen)
    last = (batch.lengths - 1)[:, None]
    items = batch.items.where(torch.arange(batch.items.shape[1]) < last, 0).cpu().numpy()
    raw = np.full(len(vocabulary) + 1, NO_ITEM, dtype=np.int64)
    raw[vocabulary["index"].to_numpy()] = vocabulary["item_id"].to_numpy()
    request = np.full((len(chosen), data.features.max_session_length), NO_ITEM, dtype=np.int64)
    request[:, : items.shape[1]] = raw[items]
    return request


def golden(request: Ids, count: int = 20) -> Ids:
    """Some of the sessions, spread over all, and the odd ones: left-padded, with strangers, only strangers, empty."""
    some = request[np.linspace(0, len(request) - 1, min(count, len(request))).astype(int)]
    left = np.sort(some[:1] == NO_ITEM, axis=1)[:, ::-1]
    left_padded = np.full_like(some[:1], NO_ITEM)
    left_padded[~left] = some[:1][some[:1] != NO_ITEM]
    mixed = np.where(some[-1:] == NO_ITEM, STRANGER, some[-1:])
    strangers = np.full_like(some[:1], STRANGER)
    empty = np.full_like(some[:1], NO_ITEM)
    return np.concatenate([some, left_padded, mixed, strangers, empty])
