"""Events become sessions: one Polars plan over integer columns, cut in two only where the split must be known.

Rows come in time order, so a session's key is the row number of its first event (FIRST): it grows with the start of the
session, ties in source order, and sorting by it sorts by session start, session.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from pipelines.columns import EVENT, ITEM, SESSION, TIME, USER
from pipelines.etl.params import EtlParams

FIRST = "first"
"""Row number of a session's first event, in time order."""
INDEX = "index"
"""Index of an item in the vocabulary; null if it has none."""
_ROW = "row"
_MICROSECONDS = 1_000_000


def assign(events: pl.DataFrame, etl: EtlParams, given: int) -> tuple[pl.DataFrame, int]:
    """SESSION of each row, by id or else by user and pause; rows that have neither are dropped and counted.

    events in time order; the codes below `given` are those of session ids, sessions cut by user get higher ones
    """
    none = np.iinfo(np.uint32).max
    if SESSION in events.columns:
        session = events[SESSION].fill_null(none).to_numpy()
        if not (session == none).any():
            return events, 0
        session = session.copy()
    else:
        session = np.full(events.height, none, np.uint32)
    rows = np.flatnonzero((session == none) & events[USER].is_not_null().to_numpy())
    user, time = events[USER].fill_null(0).to_numpy()[rows], events[TIME].to_numpy()[rows]
    order = np.argsort(user, kind="stable")
    user, time = user[order], time[order]
    pause = etl.inactivity_minutes * 60 * _MICROSECONDS
    begins = np.ones(len(rows), bool)
    begins[1:] = (user[1:] != user[:-1]) | (time[1:] - time[:-1] > pause)
    session[rows[order]] = given + np.cumsum(begins) - 1
    frame = events.with_columns(pl.Series(SESSION, session)).filter(pl.col(SESSION) != none)
    return frame, events.height - frame.height


def with_first(events: pl.DataFrame) -> pl.DataFrame:
    """FIRST of each row. events in time order; SESSION are codes from 0 on, so an array does it without hashing."""
    session = events[SESSION].to_numpy()
    first = np.zeros(int(session.max()) + 1 if len(session) else 0, np.uint32)
    first[session[::-1]] = np.arange(len(session), dtype=np.uint32)[::-1]  # of several, numpy keeps the last written
    return events.with_columns(pl.Series(FIRST, first[session]))


def ordered(events: pl.LazyFrame) -> pl.LazyFrame:
    """Rows by session start, session, time. events: `with_first`; FIRST leads back to SESSION and USER."""
    key = pl.col(FIRST).cast(pl.UInt64) * 2**32 + pl.col(_ROW)  # one integer sorts faster than two
    return (
        events.drop(SESSION, USER, strict=False)
        .with_row_index(_ROW)
        .with_columns(key.alias(_ROW))
        .drop(FIRST)
        .sort(_ROW)
        .with_columns((pl.col(_ROW) // 2**32).cast(pl.UInt32).alias(FIRST))
        .drop(_ROW)
    )


def distinct(events: pl.LazyFrame, how: str) -> pl.LazyFrame:
    """Without repeats, the first of each kept. events: `ordered`."""
    same = [pl.col(name) == pl.col(name).shift(1) for name in (FIRST, ITEM, EVENT)]
    if how == "consecutive":
        return events.filter(~pl.all_horizontal(same).fill_null(False))
    if how == "same_second":
        second = pl.col(TIME) // _MICROSECONDS
        follows = ((pl.col(FIRST) == pl.col(FIRST).shift(1)) & (second == second.shift(1))).fill_null(False)
        numbered = events.with_row_index(_ROW)
        crowded = numbered.filter(follows | follows.shift(-1, fill_value=False))  # few rows: the costly test is for them
        repeats = crowded.filter(~pl.struct(FIRST, second, ITEM, EVENT).is_first_distinct()).select(_ROW)
        return numbered.join(repeats, on=_ROW, how="anti", maintain_order="left").drop(_ROW)
    return events


def long_enough(events: pl.LazyFrame, shortest: int, longest: int | None = None) -> pl.LazyFrame:
    """Sessions of at least `shortest` events, their last `longest` ones. events: `ordered`."""
    number = pl.int_range(pl.len(), dtype=pl.UInt32)
    begins = (pl.col(FIRST) != pl.col(FIRST).shift(1)).fill_null(True)
    ends = begins.shift(-1, fill_value=True)
    first = pl.when(begins).then(number).forward_fill()
    last = pl.when(ends).then(number).backward_fill()
    keep = last - first >= shortest - 1
    if longest is not None:
        keep &= last - number < longest
    return events.filter(keep)


def look_up(events: pl.LazyFrame, vocabulary: pl.LazyFrame) -> pl.LazyFrame:
    """INDEX of each event's item, null if it is not in the vocabulary; the order is kept."""
    return events.select(ITEM).join(vocabulary.select(ITEM, INDEX), on=ITEM, how="left", maintain_order="left").select(INDEX)
