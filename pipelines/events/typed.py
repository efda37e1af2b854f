"""Text becomes our columns: a field that cannot be read becomes null, and PARSE_ERROR says which and why."""

from __future__ import annotations

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
    text_hash,
)
from pipelines.errors import DataError
from pipelines.events.layout import Layout

ZONE = r"\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})$"
EPOCH = {"epoch_s": 1_000_000.0, "epoch_ms": 1_000.0, "epoch_us": 1.0}
"""Time format -> microseconds per unit."""
UNITS = {"epoch_s": "seconds", "epoch_ms": "milliseconds", "epoch_us": "microseconds"}
EARLIEST, LATEST = 631_152_000_000_000.0, 4_102_444_800_000_000.0
"""1990 and 2100 in microseconds: an epoch outside is not believed."""
NO_ZONE = "no zone"
TIME_ERROR = f"{TIME}: "

TIME_OUT = pl.Datetime("us", "UTC")


def typed(texts: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """One frame of text (the source's columns, FILE, ROW, RAW, PARSE_ERROR) as RAW_SCHEMA, row by row.

    A row with an error already (not UTF-8, wrong number of fields) keeps its text only: none of its fields is believed,
    but its time is, so that it lands in the right day, if it can be read.
    """
    whole = pl.col(PARSE_ERROR).is_null()
    frame = texts.select(
        FILE,
        ROW,
        RAW,
        PARSE_ERROR,
        *(_field(ours, layout, whole) for ours in (SESSION, USER, ITEM, EVENT, TIME, PRICE, CATEGORY, BRAND)),
    )
    number = pl.col(PRICE).cast(pl.Float64, strict=False)
    number = pl.when(number.is_finite()).then(number)
    frame = frame.with_columns(
        number.alias("price out"),
        pl.lit(None, pl.Int64).alias("item out")
        if layout.text_items
        else pl.col(ITEM).cast(pl.Int64, strict=False).alias("item out"),
        _time(layout).alias("time out"),
    )
    errors = [
        pl.col(PARSE_ERROR),
        _unreadable(TIME, "time out", _time_trouble(layout)),
        _unreadable(PRICE, "price out", "not a number"),
    ]
    if not layout.text_items:
        errors.append(_unreadable(ITEM, "item out", "not a whole number"))
    said = pl.concat_str(errors, separator="; ", ignore_nulls=True)
    event = pl.lit(layout.every_event, pl.String) if layout.every_event else pl.col(EVENT).replace(dict(layout.events))
    return frame.select(
        SESSION,
        USER,
        pl.col("item out").alias(ITEM),
        (pl.col(ITEM) if layout.text_items else pl.lit(None, pl.String)).alias(ITEM_KEY),
        event.alias(EVENT),
        pl.col("time out").alias(TIME),
        pl.col("price out").alias(PRICE),
        CATEGORY,
        BRAND,
        FILE,
        ROW,
        RAW,
        pl.when(said != "").then(said).alias(PARSE_ERROR),
    )


def _field(ours: str, layout: Layout, whole: pl.Expr) -> pl.Expr:
    if ours not in layout.columns:
        return pl.lit(None, pl.String).alias(ours)
    text = pl.col(layout.columns[ours]).str.strip_chars()
    text = pl.when(text != "").then(text)
    return (text if ours == TIME else pl.when(whole).then(text)).alias(ours)


def _unreadable(column: str, out: str, trouble: pl.Expr | str) -> pl.Expr:
    why = pl.lit(trouble) if isinstance(trouble, str) else trouble
    bad = pl.col(column).is_not_null() & pl.col(out).is_null()
    return pl.when(bad).then(pl.format("{}: {}: '{}'", pl.lit(column), why, pl.col(column).str.slice(0, 60)))


def _time(layout: Layout) -> pl.Expr:
    text = pl.col(TIME)
    if layout.time in EPOCH:
        return _epoch(text, EPOCH[layout.time])
    if layout.time == "epoch_s_or_iso":
        return pl.coalesce(_epoch(text, EPOCH["epoch_s"]), _iso(text, layout.zone))
    if layout.time == "iso":
        return _iso(text, layout.zone)
    parsed = text.str.to_datetime(layout.time, strict=False, time_unit="us")
    if "%z" in layout.time or "%:z" in layout.time or "%#z" in layout.time:
        return parsed.cast(TIME_OUT)
    return _zoned(parsed, layout.zone)


def _epoch(text: pl.Expr, unit: float) -> pl.Expr:
    value = (text.cast(pl.Float64, strict=False) * unit).round()
    return pl.when(value.is_between(EARLIEST, LATEST)).then(value).cast(pl.Int64).cast(TIME_OUT)


def _iso(text: pl.Expr, zone: str | None) -> pl.Expr:
    """2026-11-01 08:15:00 UTC, 2026-11-01T08:15:00.250Z, 2026-11-01T09:15:00+01:00."""
    naive = text.str.replace(ZONE, "").str.replace(" ", "T", literal=True)
    parsed = naive.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    named = text.str.extract(ZONE)
    shift = named.str.extract(r"^[+-](\d{2})").cast(pl.Int64) * 60 + named.str.extract(r"(\d{2})$").cast(pl.Int64)
    minutes = pl.when(named.str.starts_with("-")).then(-shift).otherwise(shift).fill_null(0)
    there = parsed.dt.replace_time_zone("UTC") - pl.duration(minutes=minutes)
    return pl.when(named.is_not_null()).then(there).otherwise(_zoned(parsed, zone))


def _zoned(naive: pl.Expr, zone: str | None) -> pl.Expr:
    if zone is None:
        return pl.lit(None, TIME_OUT)
    local = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return local.dt.convert_time_zone("UTC").cast(TIME_OUT)


def _time_trouble(layout: Layout) -> pl.Expr:
    text = pl.col(TIME)
    number = text.cast(pl.Float64, strict=False)
    said = pl.lit("not a time")
    for name, unit in EPOCH.items():
        if name != layout.time and not (name == "epoch_s" and layout.time == "epoch_s_or_iso"):
            looks = (number * unit).is_between(EARLIEST, LATEST)
            said = pl.when(looks).then(pl.lit(f"not a time, looks like epoch {UNITS[name]}")).otherwise(said)
    if layout.time in ("iso", "epoch_s_or_iso") and layout.zone is None:
        naive = text.str.contains(r"^\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(\.\d+)?$")
        said = pl.when(naive).then(pl.lit(NO_ZONE)).otherwise(said)
    return said


def check_times(frame: pl.DataFrame, layout: Layout, file: str) -> None:
    """DataError if most times of a file's first rows cannot be read: the format is not what the settings say."""
    wrong = frame.filter(pl.col(PARSE_ERROR).str.contains(TIME_ERROR, literal=True))
    if len(wrong) * 2 <= len(frame):
        return
    samples = wrong[PARSE_ERROR].str.extract(rf"({TIME_ERROR}[^;]*)")
    where = f"{file}, rows {wrong[ROW].head(3).to_list()}: " + ", ".join(samples.head(3).to_list())
    first = str(samples[0])
    for name, unit in UNITS.items():
        if f"epoch {unit}" in first:
            step = f"with source mapped set events.mapped.time_format: {name}; the other sources have their own format: convert"
            raise DataError(f"the times look like epoch {unit}, not {layout.time}", where, step)
    if NO_ZONE in first or (
        layout.time not in EPOCH and layout.zone is None and "%z" not in layout.time and layout.time != "iso"
    ):
        raise DataError("the times name no zone", where, "say which it is: events.time_zone: UTC (or Europe/Berlin ...)")
    raise DataError(
        f"{len(wrong)} of the first {len(frame)} times cannot be read as {layout.time}",
        where,
        "with source mapped set events.mapped.time_format to iso, epoch_s, epoch_ms, epoch_us or a pattern; else convert",
    )


class ItemHashes:
    """Stable ids of text items: the first 63 bits of their BLAKE2b. Two texts of one id are an error."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}

    def fill(self, frame: pl.DataFrame) -> pl.DataFrame:
        """ITEM from ITEM_KEY."""
        keys = frame[ITEM_KEY].drop_nulls().unique(maintain_order=True).to_list()
        ids = [text_hash(key) for key in keys]
        for key, number in zip(keys, ids, strict=True):
            if self.texts.setdefault(number, key) != key:
                raise DataError(
                    "two item ids have the same hash",
                    f"{self.texts[number]!r} and {key!r}: {number}",
                    "give the items integer ids (events.mapped.item_ids: integer), or rename one of the two",
                )
        return frame.with_columns(pl.col(ITEM_KEY).replace_strict(keys, ids, default=None, return_dtype=pl.Int64).alias(ITEM))


assert list(RAW_SCHEMA) == [SESSION, USER, ITEM, ITEM_KEY, EVENT, TIME, PRICE, CATEGORY, BRAND, FILE, ROW, RAW, PARSE_ERROR]
