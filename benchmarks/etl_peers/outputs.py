"""Every peer's output in one form: raw ids and values, normalisation undone, by session and position."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

TEXTS = ("category", "brand", "event_type")
NORMALISED = ("price", "item_age")
CYCLES = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")
TOLERANCE = 2e-4


def read(peer: str, out: Path) -> pl.DataFrame:
    """session_id, position, item_id, category, brand, event_type, split, time and the continuous columns."""
    frame = {"ours": _ours, "nvtabular_graph": _lists}.get(peer, _flat)(out)
    return frame.with_columns(pl.int_range(pl.len()).over("session_id").alias("position")).sort("session_id", "position")


def difference(one: pl.DataFrame, other: pl.DataFrame) -> str:
    """What differs first; empty if nothing does."""
    if one.height != other.height:
        return f"{one.height:,} events and {other.height:,}"
    for name in ("session_id", "item_id", "timestamp", "split", *TEXTS):
        unequal = one[name].ne_missing(other[name])
        if unequal.any():
            row = unequal.arg_max() or 0
            return f"{name} in {unequal.sum():,} events, first {one.row(row)} and {other.row(row)}"
    for name in (*NORMALISED, *CYCLES):
        gap = float(np.abs(one[name].to_numpy().astype(np.float64) - other[name].to_numpy()).max())
        if not gap <= TOLERANCE:
            return f"{name} by up to {gap}"
    return ""


def _ours(out: Path) -> pl.DataFrame:
    etl = out / "data" / "etl"
    schema = json.loads((etl / "schema.json").read_text())["columns"]
    stats = {name: (schema[name]["mean"], schema[name]["std"]) for name in NORMALISED}
    items = pl.read_parquet(etl / "vocabulary.parquet")["item_id"]
    values = {}
    for name in TEXTS:
        known = pl.read_parquet(etl / "values" / f"{name}.parquet")
        values[name] = known["value"]
    return _columns(etl / "columns", etl, items, values, stats)


def _flat(out: Path) -> pl.DataFrame:
    items = pl.read_parquet(out / "items.parquet")["item_id"]
    values = {name: pl.read_parquet(out / f"{name}.parquet")[name] for name in TEXTS}
    return _columns(out, out, items, values, json.loads((out / "stats.json").read_text()))


def _columns(
    columns: Path, root: Path, items: pl.Series, values: dict[str, pl.Series], stats: dict[str, tuple[float, float]]
) -> pl.DataFrame:
    raw = {name: np.load(columns / f"{name}.npy") for name in ("item_id", "timestamp", *TEXTS, *NORMALISED, *CYCLES)}
    lengths = np.diff(np.load(root / "offsets.npy"))
    sessions = pl.read_parquet(root / "session_ids.parquet")["session_id"].cast(pl.String)
    made = {
        "session_id": sessions.gather(np.repeat(np.arange(len(lengths)), lengths)),
        "split": np.repeat(np.load(root / "split.npy"), lengths),
        "timestamp": raw["timestamp"],
        "item_id": items.gather(raw["item_id"] - 1),
        **{name: _value(values[name], raw[name] - 4) for name in TEXTS},
        **{name: raw[name] * stats[name][1] + stats[name][0] for name in NORMALISED},
        **{name: raw[name] for name in CYCLES},
    }
    return pl.DataFrame(made)


def _value(values: pl.Series, position: np.typing.NDArray[np.int32]) -> pl.Series:
    """Null (index 1) is position -3."""
    where = pl.Series(position)
    return values.cast(pl.String).gather(where.set(where < 0, None))


def _lists(out: Path) -> pl.DataFrame:
    parts = []
    for number, part in enumerate(("train", "valid", "test")):
        frame = pl.concat([pl.read_parquet(file) for file in sorted((out / part).glob("*.parquet"))])
        parts.append(frame.with_columns(pl.lit(number, pl.Int8).alias("split")))
    frame = pl.concat(parts)
    lists = [name for name in frame.columns if name.endswith("-list")]
    frame = frame.select("session_id", "split", *lists).explode(lists)
    frame = frame.rename({name: name.removesuffix("-list") for name in lists})
    stats = json.loads((out / "stats.json").read_text())
    made = []
    for name in ("item_id", *TEXTS):
        known = pl.read_parquet(out / "categories" / "categories" / f"unique.{name}.parquet")[name]
        where = frame[name].cast(pl.Int64) - 3
        made.append(known.gather(where.set(where < 0, None)).cast(pl.Int64 if name == "item_id" else pl.String).alias(name))
    return frame.with_columns(
        pl.col("session_id").cast(pl.String),
        *made,
        *(pl.col(name) * stats[name][1] + stats[name][0] for name in NORMALISED),
        # the graph counts time in nanoseconds
        pl.col("ts").floordiv(1000).alias("timestamp"),
    ).drop("ts")
