"""The data of benchmarks/training.py, once as GRU4Rec's TSV files and once as data/etl: the same events, sessions and test.

    clicks    yoochoose_clicks_100k, the authors' own split: train_full and the last day
    yoochoose YOOCHOOSE 1/64, SR-GNN's split: its training sessions and its test sessions, put together from their prefixes

All training sessions train: neither side validates, the number of epochs is fixed beforehand. Test clicks on items that
training never saw are left out, as GRU4Rec's code does, and so are sessions of which one click remains.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import quality_sets
from quality_sets import DATA

from pipelines.split import TEST, TRAIN

SECOND_US = 1_000_000


def clicks() -> tuple[pl.DataFrame, pl.DataFrame]:
    train, test = (_read(DATA / f"yoochoose_clicks_100k/yoochoose-clicks-100k_{name}.txt.gz") for name in ("train_full", "test"))
    return train, test


def yoochoose() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The set carries no times: a second is made of each click."""
    folder = DATA / "yoochoose1_64_srgnn"
    train = pl.read_parquet(folder / "train_sessions.parquet").select("session", item_id=pl.col("items").cast(pl.List(pl.Int64)))
    prefixes = pl.read_parquet(folder / "test_prefixes.parquet")
    longest = prefixes.sort("test_session", pl.col("prefix").list.len()).group_by("test_session", maintain_order=True).last()
    test = longest.select(
        session="test_session", item_id=pl.concat_list(pl.col("prefix").cast(pl.List(pl.Int64)), pl.col("label").cast(pl.Int64))
    )
    return _timed(train), _timed(test)


SETS = {"clicks": clicks, "yoochoose": yoochoose}
RECIPES = {"clicks": "yoochoose_clicks", "yoochoose": "yoochoose_srgnn"}
"""benchmarks/recipes/<name>.yaml"""


def write(name: str, folder: Path, events: int | None = None, longest: int | None = None) -> dict[str, int]:
    """train.tsv, test.tsv and etl/; returns their sizes.

    events   only so many of the newest training events
    longest  only the last events of each session; all, if None
    """
    train, test = (_whole(frame) for frame in SETS[name]())
    if longest is not None:
        train, test = (frame.group_by("session", maintain_order=True).tail(longest) for frame in (train, test))
    if events is not None:
        train = _whole(_newest(train, events))
    known = train["item_id"].unique(maintain_order=True)
    test = _whole(test.filter(pl.col("item_id").is_in(known.implode())))
    folder.mkdir(parents=True, exist_ok=True)
    for part, frame in (("train", train), ("test", test)):
        frame.select(SessionId="session", ItemId="item_id", Time="time").write_csv(folder / f"{part}.tsv", separator="\t")
    labelled = [frame.with_columns(split=pl.lit(part, pl.Int8)) for frame, part in ((train, TRAIN), (test, TEST))]
    both = pl.concat(labelled).with_columns(time=(pl.col("time") * SECOND_US).cast(pl.Int64))
    most = int(both.group_by("split", "session").len()["len"].to_numpy().max())
    shutil.rmtree(folder / "etl", ignore_errors=True)
    quality_sets.write(folder / "etl", both, known, most)
    return {
        "events": train.height,
        "sessions": train["session"].n_unique(),
        "items": len(known),
        "predictions": test.height - test["session"].n_unique(),
        "longest": most,
    }


def _read(path: Path) -> pl.DataFrame:
    """Sessions by start, their clicks by time."""
    rows = pl.read_csv(path, separator="\t").select(session="SessionId", item_id="ItemId", time=pl.col("Time").cast(pl.Float64))
    return rows.sort(pl.col("time").min().over("session"), "session", "time", maintain_order=True)


def _timed(sessions: pl.DataFrame) -> pl.DataFrame:
    return sessions.explode("item_id", empty_as_null=False).with_columns(time=pl.int_range(pl.len()).cast(pl.Float64))


def _whole(clicks: pl.DataFrame) -> pl.DataFrame:
    """Sessions of two clicks or more."""
    return clicks.filter(pl.len().over("session") > 1)


def _newest(clicks: pl.DataFrame, events: int) -> pl.DataFrame:
    sessions = clicks.tail(events)["session"].unique()
    return clicks.filter(pl.col("session").is_in(sessions.implode()))
