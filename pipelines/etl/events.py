"""The validated events of all days, read in one pass: texts become codes, rows stand in time order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pipelines.columns import BRAND, CATEGORY, EVENT, FILE, ITEM, ITEM_KEY, PRICE, ROW, SCHEMA, SESSION, TIME, USER
from pipelines.errors import DataError
from pipelines.etl.engine import Engine
from pipelines.etl.params import EtlParams
from pipelines.paths import VALIDATE

CODED = (CATEGORY, BRAND, EVENT)
"""Texts that become codes 1.. in no particular order (0 is null); workflow.py gives them their lasting indices."""


@dataclass(frozen=True)
class Events:
    """frame: SESSION (uint32 code), USER (if read), ITEM, TIME (int64 us), PRICE, CODED; by time, file, row.

    texts    the text behind code k + 1 stands at position k
    rows     rows read; dropped: by reason
    """

    frame: pl.DataFrame
    texts: Mapping[str, pl.Series]
    rows: int
    dropped: Mapping[str, int]


def days() -> list[Path]:
    """The partitions of VALIDATE, oldest first. DataError if there are none."""
    found = sorted(VALIDATE.glob("day=*/events.parquet"))
    if not found:
        where = f"{VALIDATE}/day=*/events.parquet"
        raise DataError("there are no validated days", where, "run the stages events and validate first")
    return found


def read(etl: EtlParams, engine: Engine) -> Events:
    """All events of the kept types that belong to a session. DataError if a file cannot be read or nothing is left."""
    files = days()
    rows, nulls = _metadata(files)
    by_user = etl.sessions_by == "user_inactivity" or nulls[SESSION] > 0
    codes = {name: pl.Categorical(pl.Categories.random()) for name in (SESSION, USER, *CODED, FILE)}
    texts = [name for name in (SESSION, *CODED, FILE) if name != SESSION or etl.sessions_by == "id"]
    if by_user or etl.keep_users:
        texts.append(USER)
    plan = (
        pl.scan_parquet(files, hive_partitioning=False)
        .filter(pl.col(EVENT).is_in(etl.event_types), pl.col(ITEM).is_not_null(), pl.col(TIME).is_not_null())
        .select(
            *(pl.col(name).cast(codes[name]).to_physical().alias(name) for name in texts),
            ITEM,
            pl.col(TIME).to_physical(),
            pl.col(PRICE).cast(pl.Float32),
            ROW,
        )
        .with_columns((pl.col(name).cast(pl.Int32) + 1).fill_null(0) for name in CODED)
    )
    try:
        frame = engine.collect(plan, "read", streaming=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        what = f"the validated events cannot be read: {' '.join(str(error).split())[:200]}"
        raise DataError(what, f"{VALIDATE}/day=*/events.parquet", "run the stage validate again") from None
    if frame.is_empty():
        seen = pl.scan_parquet(files, hive_partitioning=False).select(pl.col(EVENT).unique().sort()).collect()[EVENT].to_list()
        raise DataError(
            f"none of {rows:,} validated events is of a kept type",
            f"{VALIDATE}: event types {seen}; etl.event_types={list(etl.event_types)}",
            "set etl.event_types in params.yaml to types that occur",
        )
    names = {name: _categories(codes[name]) for name in texts}
    dropped = {"event_type": rows - frame.height}
    frame = _in_time_order(frame, names[FILE]).drop(FILE, ROW)
    return Events(frame, names, rows, dropped)


def _metadata(files: list[Path]) -> tuple[int, dict[str, int]]:
    """Rows, and nulls of each column, from the footers alone. Files without statistics count as having nulls."""
    rows, nulls = 0, dict.fromkeys(SCHEMA, 0)
    for file in files:
        try:
            footer = pq.read_metadata(file)
        except (OSError, ValueError) as error:
            raise DataError(
                f"not a readable parquet file: {' '.join(str(error).split())[:200]}", str(file), "run the stage validate again"
            ) from None
        names = footer.schema.names
        missing = [name for name in SCHEMA if name not in names]
        if missing:
            raise DataError(f"columns are missing: {', '.join(missing)}", str(file), "run the stage validate again")
        rows += footer.num_rows
        for group in range(footer.num_row_groups):
            for name in SCHEMA:
                statistics = footer.row_group(group).column(names.index(name)).statistics
                known = statistics is not None and statistics.has_null_count
                nulls[name] += statistics.null_count if known else footer.row_group(group).num_rows
    return rows, nulls


def _categories(kind: pl.Categorical) -> pl.Series:
    return pl.Series([], dtype=kind).cat.get_categories()


def _in_time_order(frame: pl.DataFrame, files: pl.Series) -> pl.DataFrame:
    """Rows by time, file, row. Most sources write them so: then a comparison is all it costs."""
    rank = np.empty(max(1, len(files)), np.uint32)
    rank[files.arg_sort().to_numpy()] = np.arange(len(files), dtype=np.uint32)
    time, file, row = (frame[name].to_numpy() for name in (TIME, FILE, ROW))
    if (time[1:] >= time[:-1]).all():
        if len(files) == 1 and (row[1:] > row[:-1]).all():
            return frame
        ties = np.flatnonzero(time[1:] == time[:-1])
        here, then = (rank[file[rows]].astype(np.int64) << 40 | row[rows] for rows in (ties, ties + 1))
        if (then > here).all():
            return frame
    return frame.with_columns(pl.Series(FILE, rank[file])).sort(TIME, FILE, ROW)


def item_keys(files: list[Path]) -> pl.DataFrame | None:
    """ITEM, ITEM_KEY, one row each, for sources whose ids are texts; None for integers.

    DataError where two texts share a number.
    """
    rows, nulls = _metadata(files)
    if nulls[ITEM_KEY] == rows:
        return None
    keys = (
        pl.scan_parquet(files, hive_partitioning=False)
        .group_by(ITEM)
        .agg(pl.col(ITEM_KEY).min(), pl.col(ITEM_KEY).max().alias("other"))
        .collect(engine="streaming")
    )
    clash = keys.filter(pl.col(ITEM_KEY) != pl.col("other"))
    if len(clash):
        item, one, other = clash.sort(ITEM).row(0)
        raise DataError(
            f"item {item} stands for two texts, {one!r} and {other!r}",
            f"{VALIDATE}, column {ITEM_KEY}",
            "the source's ids collide: rename one of the two items at the source",
        )
    return keys.drop("other")
