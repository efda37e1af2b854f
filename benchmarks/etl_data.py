"""REES46-like events for benchmarks/etl.py: Zipf items, UUID sessions, day files in the columns of pipelines.columns.

What makes the outputs comparable: sessions end before midnight (NVTabular's Groupby sees one file at a time), events of
a session are at least a second apart (no ties), and the first day shows every item in sessions of two events or more (no
unseen item later; first seen is the same before and after short sessions are dropped).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

DAYS, FIRST_DAY = 14, dt.date(2019, 10, 1)
DAY_S, SECOND_US = 86_400, 1_000_000
MEAN_LENGTH, CATEGORIES, BRANDS = 5.0, 130, 3500


def generate(folder: Path, events: int, seed: int = 1) -> int:
    """Writes folder/day=*/events.parquet, about `events` rows; returns how many."""
    rng = np.random.default_rng(seed)
    sessions = int(events / MEAN_LENGTH)
    lengths = rng.geometric(1 / MEAN_LENGTH, sessions)
    day = np.sort(rng.integers(0, DAYS, sessions))
    lengths[day == 0] = np.maximum(lengths[day == 0], 2)
    session = np.repeat(np.arange(sessions), lengths)
    begins = np.append(0, np.cumsum(lengths)[:-1])
    passed = np.cumsum(1 + rng.exponential(60, len(session)).astype(np.int64))
    passed -= passed[begins][session]
    longest = passed[begins + lengths - 1]
    start = (rng.random(sessions) * (DAY_S - 1 - longest)).astype(np.int64) + day * DAY_S
    time = start[session] + passed
    order = np.argsort(time, kind="stable")
    time, session = time[order], session[order]

    num_items = min(int(events**0.5 * 20), events // (2 * DAYS))  # all of them on the first day
    weight = 1 / np.arange(1, num_items + 1) ** 0.9
    item = np.searchsorted(np.cumsum(weight / weight.sum()), rng.random(len(time))).clip(0, num_items - 1)
    item[:num_items] = rng.permutation(num_items)
    return _write(folder, rng, time, session, item, sessions, num_items)


def _write(
    folder: Path, rng: np.random.Generator, time: Array, session: Array, item: Array, sessions: int, num_items: int
) -> int:
    ids = rng.permutation(np.arange(1_000_000, 1_000_000 + 60 * num_items, 60))[:num_items]
    category_of = rng.integers(-CATEGORIES // 3, CATEGORIES, num_items)  # negative: null
    brand_of = np.where(rng.random(num_items) < 0.15, -1, rng.zipf(1.3, num_items) % BRANDS)
    price_of = np.round(np.exp(rng.normal(4.5, 1.2, num_items)), 2)
    categories = pl.Series([f"group{c % 13}.kind{c % 40}.leaf{c}" for c in range(CATEGORIES)])
    brands = pl.Series([f"brand-{b}" for b in range(BRANDS)])
    types = pl.Series(["view", "cart", "purchase"])
    event = rng.choice(3, len(time), p=[0.93, 0.05, 0.02])
    session_ids = _uuids(rng, sessions)
    users = pl.Series(rng.integers(500_000_000, 500_000_000 + sessions // 2 + 1, sessions)).cast(pl.String)
    bounds = np.searchsorted(time, np.arange(DAYS + 1) * DAY_S)
    zero = int(dt.datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=dt.UTC).timestamp())
    for number in range(DAYS):
        rows = slice(int(bounds[number]), int(bounds[number + 1]))
        frame = pl.DataFrame(
            {
                "session_id": session_ids.gather(session[rows]),
                "user_id": users.gather(session[rows]),
                "item_id": ids[item[rows]],
                "item_key": pl.Series([None], dtype=pl.String).new_from_index(0, rows.stop - rows.start),
                "event_type": types.gather(event[rows]),
                "timestamp": pl.Series((time[rows] + zero) * SECOND_US).cast(pl.Datetime("us", "UTC")),
                "price": price_of[item[rows]],
                "category": _optional(categories, category_of[item[rows]]),
                "brand": _optional(brands, brand_of[item[rows]]),
                "source_file": pl.Series(["bench.csv"]).new_from_index(0, rows.stop - rows.start),
                "source_row": np.arange(rows.start + 1, rows.stop + 1),
            }
        )
        day = folder / f"day={FIRST_DAY + dt.timedelta(days=number)}"
        day.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(day / "events.parquet")
    return len(time)


def _optional(values: pl.Series, code: Array) -> pl.Series:
    codes = pl.Series(code)
    return values.gather(codes.set(codes < 0, None))


def _uuids(rng: np.random.Generator, count: int) -> pl.Series:
    letters = np.frombuffer(b"0123456789abcdef", np.uint8)[rng.integers(0, 16, (count, 36), dtype=np.uint8)]
    letters[:, [8, 13, 18, 23]] = ord("-")
    offsets = pa.py_buffer(np.arange(0, count * 36 + 1, 36, dtype=np.int64))
    texts = pa.LargeStringArray.from_buffers(count, offsets, pa.py_buffer(np.ascontiguousarray(letters)))
    return pl.Series(pl.from_arrow(texts))


Array = npt.NDArray[np.int64]
