"""Values worked by hand: what stands in a row, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines import paths
from pipelines.errors import DataError, ParamsError
from pipelines.events import typed
from pipelines.stage import Report
from pipelines.stores.settings import ROOT

Written = Callable[[], pl.DataFrame]
Raw = Callable[..., Path]
Ingest = Callable[..., Report]
DATA = Path(os.environ.get("NEXTCLICK_DATA") or ROOT / "../shared/data")


def test_a_rees46_row(raw: Raw, ingest: Ingest, written: Written, header: str) -> None:
    raw("x/oct.csv", header + '2019-10-01 00:00:04 UTC,remove_from_cart,1004237,205,a.b,"apple, inc",1081.98,535,\r\n')
    ingest("rees46")
    assert written().to_dicts() == [
        {
            "session_id": None,
            "user_id": "535",
            "item_id": 1004237,
            "item_key": None,
            "event_type": "remove",
            "timestamp": datetime(2019, 10, 1, 0, 0, 4, tzinfo=UTC),
            "price": 1081.98,
            "category": "a.b",
            "brand": "apple, inc",
            "source_file": "x/oct.csv",
            "source_row": 1,
            "raw": '2019-10-01 00:00:04 UTC,remove_from_cart,1004237,205,a.b,"apple, inc",1081.98,535,',
            "parse_error": None,
        }
    ]


def test_csv_and_parquet_of_the_same_rows_are_the_same_events(
    raw: Raw, ingest: Ingest, written: Written, header: str, row: str
) -> None:
    path = raw("a.csv", header + row * 3)
    ingest("rees46")
    from_csv = written()
    table = pl.read_csv(path, try_parse_dates=False).with_columns(
        pl.col("event_time").str.to_datetime("%Y-%m-%d %H:%M:%S UTC").dt.replace_time_zone("UTC")
    )
    path.unlink()
    table.write_parquet(paths.RAW / "a.parquet")
    ingest("rees46")
    ours = pl.exclude("raw", "source_file")
    assert written().select(ours).equals(from_csv.select(ours))


def test_a_gru4rec_row_keeps_its_milliseconds(raw: Raw, ingest: Ingest, written: Written) -> None:
    raw("a.txt.gz", "SessionId\tItemId\tTime\n1\t214536502\t1396860669.277\n")
    ingest("gru4rec")
    (event,) = written().to_dicts()
    assert (event["session_id"], event["item_id"], event["event_type"]) == ("1", 214536502, "view")
    assert event["timestamp"] == datetime(2014, 4, 7, 8, 51, 9, 277000, tzinfo=UTC)


def test_parts_of_a_gru4rec_file_are_not_read_twice(raw: Raw, ingest: Ingest, written: Written) -> None:
    head = "SessionId\tItemId\tTime\n"
    raw("x_train_full.txt", f"{head}1\t5\t1396860669\n2\t6\t1396860670\n")
    raw("x_train_tr.txt", f"{head}1\t5\t1396860669\n")
    raw("x_train_valid.txt", f"{head}2\t6\t1396860670\n")
    report = ingest("gru4rec")
    assert len(written()) == 2
    assert sum("its rows all stand in x_train_full.txt" in note for note in report.notes) == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "who;sku;when;eur\nanna;A-1;01.10.2019 10:00;1.5\n"),
        ("a.jsonl.gz", '{"who": "anna", "sku": "A-1", "when": "01.10.2019 10:00", "eur": 1.5}\n'),
    ],
)
def test_your_own_names_zone_pattern_and_text_ids(raw: Raw, ingest: Ingest, written: Written, name: str, text: str) -> None:
    raw(name, text)
    mapping = {"session_id": None, "user_id": "who", "item_id": "sku", "timestamp": "when", "price": "eur", "event_type": None}
    settings: dict[str, Any] = {f"mapped__{ours}": theirs for ours, theirs in mapping.items()}
    settings |= {"mapped__separator": ";", "mapped__item_ids": "text", "mapped__time_format": "%d.%m.%Y %H:%M"}
    report = ingest("mapped", time_zone="Europe/Berlin", **settings)
    (event,) = written().to_dicts()
    assert (event["user_id"], event["item_key"], event["price"], event["event_type"]) == ("anna", "A-1", 1.5, "view")
    assert event["timestamp"] == datetime(2019, 10, 1, 8, 0, tzinfo=UTC)  # Berlin is at +02:00 in October
    assert event["item_id"] == typed.text_hash("A-1") == 2664720230924758956  # b2sum -l 64, without its last bit
    assert any("Europe/Berlin" in note for note in report.notes)


def test_a_naive_time_is_read_as_the_zone_that_is_set(raw: Raw, ingest: Ingest, written: Written) -> None:
    raw("a.tsv", "SessionId\tItemId\tTime\n1\t5\t2019-12-01T00:00:00\n1\t5\t2019-12-01T00:00:00+01:00\n")
    ingest("gru4rec", time_zone="UTC")
    assert written()["timestamp"].dt.hour().to_list() == [0, 23]


@pytest.mark.parametrize(
    ("time_format", "text"), [("epoch_s", "1396860669"), ("epoch_ms", "1396860669000"), ("epoch_us", "1396860669000000")]
)
def test_epochs(raw: Raw, ingest: Ingest, written: Written, time_format: str, text: str) -> None:
    raw("a.csv", f"session_id,item_id,event_type,timestamp\ns,1,view,{text}\n")
    ingest("mapped", mapped__time_format=time_format)
    assert written()["timestamp"].to_list() == [datetime(2014, 4, 7, 8, 51, 9, tzinfo=UTC)]


def test_two_texts_with_one_hash_are_an_error(raw: Raw, ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.events.typed.text_hash", lambda key: 7)
    raw("a.csv", "session_id,item_id,event_type,timestamp\ns,x,view,2019-10-01T00:00:00Z\ns,y,view,2019-10-01T00:00:00Z\n")
    with pytest.raises(DataError, match=r"same hash[\s\S]*'x' and 'y'"):
        ingest("mapped", mapped__item_ids="text")


def test_without_a_session_or_a_user_column_nothing_is_read(raw: Raw, ingest: Ingest) -> None:
    raw("a.csv", "item_id,timestamp\n1,2019-10-01T00:00:00Z\n")
    with pytest.raises(ParamsError, match="neither a session nor a user column"):
        ingest("mapped", mapped__session_id=None)


def test_an_unknown_source_gets_the_list_of_known_ones(ingest: Ingest) -> None:
    with pytest.raises(ParamsError, match=r"rees47[\s\S]*did you mean 'rees46'"):
        ingest("rees47")


def test_rows_outside_the_days_asked_for_are_left_out_and_counted(
    raw: Raw, ingest: Ingest, written: Written, header: str, row: str
) -> None:
    raw("a.csv", header + "".join(row.replace("-10-01", f"-10-0{day}") for day in range(1, 6)))
    report = ingest("rees46", first_day="2019-10-02", last_day="2019-10-03")
    assert written()["timestamp"].dt.day().to_list() == [2, 3]
    assert dict(report.dropped) == {"rows before 2019-10-02 (events.first_day)": 1, "rows after 2019-10-03 (events.last_day)": 2}


def test_old_days_go_and_a_failed_run_changes_nothing(raw: Raw, ingest: Ingest, header: str, row: str) -> None:
    path = raw("a.csv", header + row)
    ingest("rees46")
    path.write_text(header + row.replace("2019-10-01", "2019-11-01"))
    (paths.RAW / "b.csv").write_text(header)
    with pytest.raises(DataError):
        ingest("rees46")
    assert [folder.name for folder in paths.EVENTS.glob("day=*")] == ["day=2019-10-01"]
    (paths.RAW / "b.csv").unlink()
    ingest("rees46")
    assert [folder.name for folder in paths.EVENTS.glob("day=*")] == ["day=2019-11-01"]
    assert [folder.name for folder in Path("data").iterdir() if folder.name.startswith(".")] == []


@pytest.mark.skipif(not (DATA / "rees46_raw").exists(), reason="the REES46 sample is not on this machine (NEXTCLICK_DATA)")
def test_the_first_hours_of_rees46(folder: Path, ingest: Ingest, written: Written) -> None:
    (paths.RAW / "sample.csv.gz").symlink_to(next((DATA / "rees46_raw").resolve().glob("*.csv.gz")))
    ingest("rees46")
    rows = written()
    assert (len(rows), rows["parse_error"].null_count(), rows["item_id"].null_count()) == (5019, 5019, 0)


@pytest.mark.skipif(
    not (DATA / "yoochoose_clicks_100k").exists(), reason="the YOOCHOOSE sample is not on this machine (NEXTCLICK_DATA)"
)
def test_a_linked_folder_of_yoochoose_files(folder: Path, ingest: Ingest, written: Written) -> None:
    (paths.RAW / "yoochoose").symlink_to((DATA / "yoochoose_clicks_100k").resolve())
    report = ingest("gru4rec")
    rows = written()
    assert (len(rows), rows["parse_error"].null_count()) == (70_278 + 13_568, 70_278 + 13_568)
    assert sum("left out" in note for note in report.notes) == 4
