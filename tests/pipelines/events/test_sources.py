"""What every source promises. A new one is tested unasked: it only needs a sample here."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from pipelines import paths
from pipelines.columns import FILE, ITEM, PARSE_ERROR, RAW, RAW_SCHEMA, ROW, TIME, UNDATED
from pipelines.events import sources

REES46 = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
SAMPLES: dict[str, tuple[str, str]] = {  # name of the file, its text: four rows, the third broken in its time
    "rees46": (
        "a.csv.gz",
        REES46 + "2019-10-01 00:00:00 UTC,view,1,205,a.b,x,10.5,7,s1\n2019-10-02 00:00:00 UTC,cart,2,205,,,0.00,7,s1\n"
        "soon,view,3,205,,,1,7,s1\n2019-10-01 00:00:03 UTC,purchase,4,205,,,1,7,s1\n",
    ),
    "gru4rec": (
        "a.tsv",
        "SessionId\tItemId\tTime\n1\t5\t1396860669.277\n1\t6\t1396860670\n2\t7\tsoon\n2\t8\t2014-04-07T08:00:00Z\n",
    ),
    "mapped": (
        "a.csv",
        "session_id,item_id,event_type,timestamp\ns,1,view,2019-10-01T00:00:00Z\ns,2,view,2019-10-01T00:00:00Z\n"
        "s,3,view,soon\ns,4,view,2019-10-01T00:00:00Z\n",
    ),
    "simulate": ("", ""),
}
SMALL = {"simulate__num_events": 1000, "simulate__num_items": 50, "simulate__days": 2}


def test_every_source_has_a_sample() -> None:
    assert set(SAMPLES) == set(sources.names())


@pytest.fixture(params=sources.names())
def sampled(request: pytest.FixtureRequest, raw: Callable[..., object], ingest: Callable[..., object]) -> str:
    """A source's name, after the stage ran on its sample."""
    name, text = SAMPLES[request.param]
    if name:
        raw(name, text)
    ingest(request.param, **SMALL)
    return str(request.param)


def test_columns_and_types_are_ours(sampled: str) -> None:
    for path in paths.EVENTS.glob("day=*/events.parquet"):
        assert dict(pl.read_parquet_schema(path)) == RAW_SCHEMA


def test_no_row_is_lost_and_each_knows_its_place(sampled: str, written: Callable[[], pl.DataFrame]) -> None:
    rows = written()
    assert len(rows) == (1000 if sampled == "simulate" else 4)
    for _, of_file in rows.group_by(FILE):
        assert of_file[ROW].sort().to_list() == list(range(1, len(of_file) + 1))


def test_every_row_keeps_its_text(sampled: str, written: Callable[[], pl.DataFrame]) -> None:
    rows = written()
    assert rows[RAW].null_count() == 0
    if sampled != "simulate":
        assert rows[RAW].to_list() == SAMPLES[sampled][1].splitlines()[1:]


def test_what_cannot_be_read_is_null_and_named(sampled: str, written: Callable[[], pl.DataFrame]) -> None:
    broken = written().filter(pl.col(PARSE_ERROR).str.contains("timestamp: not a time"))
    assert len(broken) >= 1
    assert broken[TIME].null_count() == len(broken)
    assert broken[ITEM].null_count() == 0


def test_days_hold_their_own_rows_and_undated_the_others(sampled: str) -> None:
    for path in paths.EVENTS.glob("day=*/events.parquet"):
        day = path.parent.name.removeprefix("day=")
        days = pl.read_parquet(path, hive_partitioning=False)[TIME].dt.strftime("%Y-%m-%d").unique().to_list()
        assert days == ([None] if day == UNDATED else [day])


def test_small_batches_give_the_same_rows(sampled: str, monkeypatch: pytest.MonkeyPatch, ingest: Callable[..., object]) -> None:
    before = {path.parent.name: pl.read_parquet(path) for path in paths.EVENTS.glob("day=*/events.parquet")}
    monkeypatch.setattr("pipelines.events.ingest.MIB", 40)  # a batch is 32 x 40 bytes
    ingest(sampled, **SMALL)
    after = {path.parent.name: pl.read_parquet(path) for path in paths.EVENTS.glob("day=*/events.parquet")}
    assert before.keys() == after.keys()
    assert all(before[day].equals(after[day]) for day in before)
