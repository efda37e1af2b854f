"""What the expectations look at: the rows of a day, and what only shows when they are seen together."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from pipelines.columns import (
    BRAND,
    CATEGORY,
    EVENT,
    FILE,
    ITEM,
    ITEM_KEY,
    PARSE_ERROR,
    PRICE,
    RAW,
    RAW_SCHEMA,
    ROW,
    SESSION,
    TIME,
    USER,
)

VISITOR = "visitor"
"""Session, or user where there is no session."""
TEXTS = "texts"
"""All texts of the row in one."""
AGAIN = "again"
"""True where an earlier row of the day says exactly the same."""
VISIT_EVENTS = "visit_events"
"""Events of the visitor on this day."""
DAY, HOUR = "day", "hour"
VIEW = "view"
"""1 for a view, else 0."""
NEW_ITEM = "new_item"
"""1 for an item no earlier day of the window had, else 0."""
BAD = "bad"
"""1 for a quarantined row, else 0."""
RUN_ROWS, RUN_BAD_SHARE = "rows", "bad_share"

REASON, EXPECTATION, DETAIL = "reason", "expectation", "detail"
CONTENT = [name for name in RAW_SCHEMA if name not in (FILE, ROW, RAW)]
"""Rows equal in these are the same event twice."""


def with_context(rows: pl.DataFrame) -> pl.DataFrame:
    """RAW_SCHEMA and the columns above that need no split yet."""
    visitor = pl.coalesce(SESSION, USER)
    readable = pl.col(PARSE_ERROR).is_null() & pl.col(TIME).is_not_null()
    return rows.with_columns(
        visitor.alias(VISITOR),
        pl.concat_str(SESSION, USER, ITEM_KEY, EVENT, CATEGORY, BRAND, separator=" ", ignore_nulls=True).alias(TEXTS),
        (readable & ~pl.struct(CONTENT).is_first_distinct()).alias(AGAIN),
        pl.when(visitor.is_not_null()).then(pl.len().over(visitor)).cast(pl.Int64).alias(VISIT_EVENTS),
        pl.col(TIME).dt.strftime("%Y-%m-%d").alias(DAY),
    )


def with_summary(good: pl.DataFrame, seen: pl.Series) -> pl.DataFrame:
    """The good rows of a day with what day-level expectations count. seen: items of earlier days, Int64."""
    known = seen.implode()
    return good.with_columns(
        pl.coalesce(SESSION, USER).alias(VISITOR),
        pl.col(TIME).dt.hour().cast(pl.Int64).alias(HOUR),
        (pl.col(EVENT) == "view").cast(pl.Int64).alias(VIEW),
        (~pl.col(ITEM).is_in(known)).cast(pl.Int64).alias(NEW_ITEM),
    )


def to_pandas(frame: pl.DataFrame, columns: Iterable[str]) -> object:
    """For GX: whole numbers stay whole where there are nulls (pandas would make them floats).

    Texts of few values go as categories: GX passes over every text many times.
    """
    few = [pl.col(name).cast(pl.Categorical) for name in (EVENT, CATEGORY, BRAND, DAY, PARSE_ERROR)]
    chosen = frame.select(list(dict.fromkeys(columns)))
    chosen = chosen.with_columns(one for one in few if one.meta.output_name() in chosen.columns)
    table = chosen.to_pandas()
    for name, kind in chosen.schema.items():
        if kind == pl.Int64 and chosen[name].null_count():
            table[name] = chosen[name].to_pandas(use_pyarrow_extension_array=True).astype("Int64")
    return table


assert PRICE in CONTENT
