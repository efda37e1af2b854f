"""Public data sets as data/etl, by the protocols of the papers that report on them; `train` and `evaluate` do the rest.

Each function writes one set into a folder and returns what `params.yaml: evaluate` must say for its protocol. The sets are
looked for in NEXTCLICK_DATA, else ../shared/data. Sets that carry only an order get a minute for each event.

    yoochoose_srgnn   1/64 split of SR-GNN: every test prefix is one prediction, all items are ranked (P@20, MRR@20)
    yoochoose_clicks  100,000 clicks in GRU4Rec's format: the last day is the test
    ml_1m             SASRec's file, leave-one-out: of each user the last item is the test, the one before validates
    rees46_merlin     REES46 sessions of two days with category, brand, price and times: the newest fifth is the test

Validation, but for ml_1m: the newest 10 % of the training sessions. The test chooses nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.features import FIRST_VALUE, NULL, RARE, UNSEEN
from pipelines.split import TEST, TRAIN, VALID

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("NEXTCLICK_DATA", ROOT.parent / "shared" / "data")).resolve()
VALID_SHARE = 0.1
TEST_SHARE = 0.2
MINUTE_US = 60_000_000
SHOWN = 200
"""Events before a prediction that SASRec reads on ML-1M."""
MIN_SUPPORT = 5
"""Training events that a category or brand needs for an index of its own."""

Evaluate = dict[str, Any]
MADE = {
    "category": "sess_csid_seq",
    "parent_category": "sess_ccid_seq",
    "brand": "sess_bid_seq",
    "event_type": "sess_etype_seq",
}
SCALED = {"price": "sess_price_log_norm_seq", "relative_price": "sess_relative_price_to_avg_category_seq"}


def yoochoose_srgnn(folder: Path) -> Evaluate:
    """The training sessions, in time order; `evaluate` reads the test's prefixes from their own file."""
    source = DATA / "yoochoose1_64_srgnn"
    sessions = pl.read_parquet(source / "train_sessions.parquet").select("session", pl.col("items").alias("item_id"))
    last = sessions.tail(1)  # the stage wants a test split
    train = _explode(_validated(sessions))
    events = pl.concat([train, _explode(last.with_columns(split=pl.lit(TEST, pl.Int8)))])
    events = events.with_columns(time=pl.int_range(pl.len()) * MINUTE_US)
    write(folder, events, train["item_id"].unique(maintain_order=True), _longest(events))
    return {"protocol": "given_prefixes", "prefixes": str(source / "test_prefixes.parquet")}


def yoochoose_clicks(folder: Path) -> Evaluate:
    """Test items that training never saw are left out, as GRU4Rec's code does."""
    train, test = (_clicks(f"yoochoose-clicks-100k_{name}.txt.gz") for name in ("train_full", "test"))
    known = train["item_id"].unique(maintain_order=True)
    test = test.filter(pl.col("item_id").is_in(known.implode())).filter(pl.len().over("session") > 1)
    starts = _validated(train.select("session").unique(maintain_order=True))
    train = train.join(starts, on="session", maintain_order="left")
    events = pl.concat([train, test.with_columns(split=pl.lit(TEST, pl.Int8))])
    write(folder, events, known, _longest(events))
    return {"protocol": "every_position"}


def ml_1m(folder: Path) -> Evaluate:
    """Of each user: all but the last two events train, all but the last one validate, all test; of those two sessions only
    the last item is a target. The item before the test item is part of what a test prediction reads, as in SASRec's code.
    """
    file = DATA / "ml-1m_sasrec" / "ml-1m.txt.gz"
    rows = pl.read_csv(file, separator=" ", has_header=False, new_columns=["session", "item_id"])
    rows = rows.with_columns(time=pl.int_range(pl.len()) * MINUTE_US)
    kept = {TRAIN: 2, VALID: 1, TEST: 0}
    parts = [
        rows.filter(pl.int_range(pl.len(), 0, -1, dtype=pl.Int64).over("session") > held_out).with_columns(
            split=pl.lit(part, pl.Int8)
        )
        for part, held_out in kept.items()
    ]
    write(folder, pl.concat(parts), rows["item_id"].unique().sort(), SHOWN + 1)
    return {"protocol": "last_item"}


def rees46_merlin(folder: Path) -> Evaluate:
    """Split by the sessions' starts. Items, and values of columns, that training has not seen: events of such items are left
    out of validation and test, the others have index UNSEEN."""
    from pipelines.etl.operators import cycle  # imports NVTabular

    files = sorted((DATA / "rees46_merlin_ecom").glob("*.parquet"))
    lists = {"sess_pid_seq": "item_id", "sess_etime_seq": "time", "sess_prod_recency_days_seq": "item_age"}
    lists |= {source: name for name, source in {**MADE, **SCALED}.items()}
    sessions = pl.concat(pl.read_parquet(file, columns=["user_session", "session_start_ts", *lists]) for file in files)
    sessions = sessions.sort("session_start_ts", "user_session").rename({**lists, "user_session": "session"})
    newest = round(sessions.height * (1 - TEST_SHARE))
    split = pl.concat(
        [_validated(sessions.head(newest))["split"], pl.repeat(TEST, sessions.height - newest, dtype=pl.Int8, eager=True)]
    )
    events = sessions.with_columns(split).drop("session_start_ts").explode(list(lists.values()), empty_as_null=False)
    events = events.with_columns(pl.col("time").cast(pl.Int64) * 1_000_000, pl.col("item_age").log1p())
    known = events.filter(split=TRAIN)["item_id"].unique(maintain_order=True)
    before, events = events, events.filter(pl.col("item_id").is_in(known.implode()))
    events = events.filter(pl.len().over("session") > 1)
    training = (events["split"] == TRAIN).to_numpy()
    columns: dict[str, tuple[npt.NDArray[Any], dict[str, Any]]] = {}
    values = {}
    for name in MADE:
        columns[name], values[name] = indexed(events[name], training)
    for name in ("price", "item_age", "relative_price"):
        columns[name] = scaled(events[name].to_numpy(), training)
    for name, array in cycle(events["time"].to_numpy()).items():
        columns[name] = array, {"dtype": "float32", "role": "continuous"}
    unseen = before.filter(split=TEST).height, int((~before.filter(split=TEST)["item_id"].is_in(known.implode())).sum())
    write(folder, events.select("session", "split", "item_id", "time"), known, _longest(events), columns, unseen)
    for name, frame in values.items():
        (folder / "values").mkdir(exist_ok=True)
        frame.write_parquet(folder / f"values/{name}.parquet")
    return {"protocol": "every_position"}


SETS = {
    "yoochoose_srgnn": yoochoose_srgnn,
    "yoochoose_clicks": yoochoose_clicks,
    "ml_1m": ml_1m,
    "rees46_merlin": rees46_merlin,
}


def indexed(values: pl.Series, training: npt.NDArray[np.bool_]) -> tuple[tuple[npt.NDArray[Any], dict[str, Any]], pl.DataFrame]:
    """Indices as etl gives them: more frequent values first; 1 null, 2 unseen, 3 rare. And which value has which."""
    texts = values.cast(pl.String)
    counts = texts.filter(pl.Series(training)).drop_nulls().value_counts(name="count")
    counts = counts.rename({values.name: "value"}).sort(["count", "value"], descending=[True, False])
    kept = counts["count"] >= MIN_SUPPORT
    index = pl.when(kept).then(pl.int_range(pl.len()) + FIRST_VALUE).otherwise(RARE).cast(pl.Int32)
    frame = counts.with_columns(index=index).select("index", "value", pl.col("count").cast(pl.Int64))
    found = texts.to_frame("value").join(frame, on="value", how="left", maintain_order="left")
    indices = found.select(pl.when(pl.col("value").is_null()).then(NULL).otherwise(pl.col("index").fill_null(UNSEEN))).to_series()
    return (
        (
            indices.to_numpy().astype(np.int32),
            {"dtype": "int32", "role": "categorical", "cardinality": FIRST_VALUE + int(kept.sum())},
        ),
        frame,
    )


def scaled(values: npt.NDArray[np.floating[Any]], training: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    """Mean 0 and standard deviation 1 over the training events."""
    mean, std = float(values[training].mean(dtype=np.float64)), float(values[training].std(dtype=np.float64))
    made = ((values - mean) / (std or 1.0)).astype(np.float32)
    return made, {"dtype": "float32", "role": "continuous", "mean": mean, "std": std or 1.0}


def write(
    folder: Path,
    events: pl.DataFrame,
    items: pl.Series,
    longest: int,
    columns: dict[str, tuple[npt.NDArray[Any], dict[str, Any]]] | None = None,
    unseen: tuple[int, int] = (0, 0),
) -> None:
    """data/etl.

    events   session, split, item_id, time (us), one row per event: training, validation, test; sessions and their events in order
    items    the vocabulary; items[0] has index 1
    longest  events of a session that are kept, its last ones
    columns  values in the order of `events`, and what schema.json says of them
    unseen   test events before, and how many of them had an item that training has not seen
    """
    columns = columns or {}
    counts = events.filter(split=TRAIN).group_by("item_id").agg(count=pl.len().cast(pl.Int64), first_seen=pl.col("time").min())
    words = (
        items.to_frame("item_id").with_row_index("index", offset=1).join(counts, on="item_id", how="left", maintain_order="left")
    )
    words = words.select(
        pl.col("item_id").cast(pl.Int64),
        pl.lit(None, pl.String).alias("item_key"),
        pl.col("index").cast(pl.Int32),
        pl.col("first_seen").fill_null(0).cast(pl.Datetime("us", "UTC")),
        pl.col("count").fill_null(0),
    )
    rows = events.select(
        "split", "time", pl.col("item_id").cast(pl.Int64), pl.struct("split", "session").rle_id().alias("number")
    )
    rows = rows.join(words.select("item_id", "index"), on="item_id", how="left", maintain_order="left")
    assert not rows["index"].null_count(), "an event's item is not in the vocabulary"
    rows = rows.with_columns(keep=pl.int_range(pl.len(), 0, -1).over("number") <= longest)
    keep = rows["keep"].to_numpy()
    rows = rows.filter("keep")
    lengths = rows.group_by("number", maintain_order=True).agg(pl.len(), pl.col("split").first())
    (folder / "columns").mkdir(parents=True)
    np.save(folder / "columns/item_id.npy", rows["index"].to_numpy())
    np.save(folder / "columns/timestamp.npy", rows["time"].to_numpy())
    for name, (values, _) in columns.items():
        np.save(folder / f"columns/{name}.npy", values[keep])
    np.save(folder / "offsets.npy", np.append(0, lengths["len"].to_numpy().cumsum()).astype(np.int64))
    np.save(folder / "split.npy", lengths["split"].to_numpy())
    words.write_parquet(folder / "vocabulary.parquet")
    described = {
        "item_id": {"dtype": "int32", "role": "item", "cardinality": words.height + 1},
        "timestamp": {"dtype": "int64", "role": "time"},
        **{name: said for name, (_, said) in columns.items()},
    }
    schema = {"num_items": words.height, "max_session_length": int(lengths["len"].to_numpy().max()), "columns": described}
    (folder / "schema.json").write_text(json.dumps(schema, indent=1))
    test, without = unseen if unseen[0] else (events.filter(split=TEST).height, 0)
    (folder / "summary.json").write_text(json.dumps({"test_events": test, "unseen_test_events": without}))


def _validated(sessions: pl.DataFrame) -> pl.DataFrame:
    """`split` of training sessions in time order: the newest validate."""
    first = round(sessions.height * (1 - VALID_SHARE))
    validates = pl.int_range(pl.len()) >= first
    return sessions.with_columns(split=pl.when(validates).then(VALID).otherwise(TRAIN).cast(pl.Int8))


def _explode(sessions: pl.DataFrame) -> pl.DataFrame:
    return sessions.explode("item_id", empty_as_null=False)


def _longest(events: pl.DataFrame) -> int:
    return int(events.group_by("split", "session").len()["len"].to_numpy().max())


def _clicks(name: str) -> pl.DataFrame:
    """session, item_id, time: sessions by start, events by time."""
    rows = pl.read_csv(DATA / "yoochoose_clicks_100k" / name, separator="\t")
    start = pl.col("Time").min().over("SessionId")
    ordered = rows.sort(start, "SessionId", "Time", maintain_order=True)
    return ordered.select(session="SessionId", item_id="ItemId", time=(pl.col("Time") * 1e6).cast(pl.Int64))
