"""Broken files: each stops the run with its name, what was seen, and what to do; a broken row never does."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pipelines import paths
from pipelines.errors import DataError
from pipelines.stage import Report

Written = Callable[[], pl.DataFrame]
Raw = Callable[..., Path]
Ingest = Callable[..., Report]


def refused(ingest: Ingest, *said: str, source: str = "rees46", **changes: object) -> None:
    with pytest.raises(DataError) as caught:
        ingest(source, **changes)
    for text in said:
        assert text in str(caught.value)
    assert not paths.EVENTS.exists()


def test_no_files_at_all(ingest: Ingest) -> None:
    paths.RAW.joinpath("README.md").write_text("not data")
    refused(ingest, "there are no files to read for source 'rees46'", "put the files (or links to them) into data/raw")


def test_a_missing_column_lists_what_is_there_and_what_should_be(raw: Raw, ingest: Ingest) -> None:
    raw("a.csv", "event_time,event_type,item,price\n1,2,3,4\n")
    refused(
        ingest,
        "missing columns: product_id, category_code, brand, user_id, user_session",
        "a.csv",
        "event_time, event_type, item, price",
    )


def test_a_wrong_delimiter_says_what_it_looks_like(raw: Raw, ingest: Ingest, header: str, row: str) -> None:
    raw("a.csv", (header + row).replace(",", ";"))
    refused(ingest, "looks separated by ';'", "a.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_an_empty_file(raw: Raw, ingest: Ingest, name: str) -> None:
    (paths.RAW / name).write_bytes(b"")
    refused(ingest, "the file is empty", name)


def test_a_header_without_rows(raw: Raw, ingest: Ingest, header: str) -> None:
    raw("a.csv", header)
    refused(ingest, "a header and no rows", "a.csv")


def test_a_file_in_latin1(raw: Raw, ingest: Ingest, header: str, row: str) -> None:
    raw("a.csv", (header + row + row.replace("apple", "Böhm") * 3).encode("latin1"))
    refused(ingest, "not UTF-8", "a.csv, first in row 2", "iconv")


def test_a_file_in_utf16(raw: Raw, ingest: Ingest, header: str, row: str) -> None:
    raw("a.csv", (header + row).encode("utf-16"))
    refused(ingest, "UTF-16", "a.csv")


def test_some_rows_not_in_utf8_are_kept_and_named(raw: Raw, ingest: Ingest, written: Written, header: str, row: str) -> None:
    raw("a.csv", (header + row * 3).encode() + row.replace("apple", "Böhm").encode("latin1"))
    ingest("rees46")
    assert written()["parse_error"].str.starts_with("not UTF-8").to_list() == [None, None, None, True]


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_gzip_file_cut_short(raw: Raw, ingest: Ingest, header: str, row: str, kept: float) -> None:
    packed = gzip.compress((header + "".join(row.replace("1004237", str(i)) for i in range(5000))).encode())
    (paths.RAW / "a.csv.gz").write_bytes(packed[: int(len(packed) * kept)])
    refused(ingest, "gzip file is cut short or damaged", "a.csv.gz", "fetch the file again")


def test_a_file_that_is_gzip_by_name_only(ingest: Ingest, header: str, row: str) -> None:
    (paths.RAW / "a.csv.gz").write_text(header + row)
    refused(ingest, "is no gzip file", "a.csv.gz")


def test_a_parquet_file_cut_short(raw: Raw, ingest: Ingest) -> None:
    pl.DataFrame({"event_time": ["x"] * 1000}).write_parquet(paths.RAW / "a.parquet")
    content = (paths.RAW / "a.parquet").read_bytes()
    (paths.RAW / "a.parquet").write_bytes(content[: len(content) // 2])
    refused(ingest, "parquet file is cut short or damaged", "a.parquet")


def test_a_last_row_cut_is_kept_and_named(raw: Raw, ingest: Ingest, written: Written, header: str, row: str) -> None:
    raw("a.csv", header + row * 2 + row[:50])
    ingest("rees46")
    assert written()["parse_error"].to_list() == [None, None, "5 of 9 fields, and no line end: cut"]


def test_a_whole_last_row_needs_no_line_end(raw: Raw, ingest: Ingest, written: Written, header: str, row: str) -> None:
    raw("a.csv", header + row + row.rstrip())
    ingest("rees46")
    assert written()["parse_error"].to_list() == [None, None]


@pytest.mark.parametrize("source", ["gru4rec", "mapped"])
def test_times_without_a_zone_ask_for_it(raw: Raw, ingest: Ingest, source: str) -> None:
    if source == "gru4rec":
        raw("a.tsv", "SessionId\tItemId\tTime\n1\t5\t2019-10-01T00:00:00\n")
    else:
        raw("a.csv", "session_id,item_id,event_type,timestamp\ns,1,view,2019-10-01 00:00:00\n")
    refused(ingest, "the times name no zone", "2019-10-01", "events.time_zone: UTC", source=source)


def test_epoch_milliseconds_taken_for_seconds(raw: Raw, ingest: Ingest) -> None:
    raw("a.csv", "session_id,item_id,event_type,timestamp\ns,1,view,1396860669277\n")
    said = ("look like epoch milliseconds, not epoch_s", "a.csv, rows [1]", "'1396860669277'", "time_format: epoch_ms")
    refused(ingest, *said, source="mapped", mapped__time_format="epoch_s")


def test_single_epoch_times_among_good_ones_are_kept_undated(
    raw: Raw, ingest: Ingest, written: Written, header: str, row: str
) -> None:
    raw("a.csv", header + row * 2 + row.replace("2019-10-01 00:00:04 UTC", "1569888004000"))
    ingest("rees46")
    assert written()["parse_error"][2] == "timestamp: not a time, looks like epoch milliseconds: '1569888004000'"
    assert (paths.EVENTS / "day=undated/events.parquet").exists()


def test_numbers_that_are_none_are_named(raw: Raw, ingest: Ingest, written: Written, header: str, row: str) -> None:
    raw("a.csv", header + row + row.replace("1081.98", "abc").replace("1004237", "SKU-1") + row.replace("1081.98", "nan"))
    ingest("rees46")
    assert written()["parse_error"].to_list() == [
        None,
        "price: not a number: 'abc'; item_id: not a whole number: 'SKU-1'",
        "price: not a number: 'nan'",
    ]


def test_files_of_another_kind_are_left_out_and_named(raw: Raw, ingest: Ingest, header: str, row: str) -> None:
    raw("a.csv", header + row)
    raw("notes.txt", "hello")
    report = ingest("rees46")
    assert "left out notes.txt: its name does not end in .csv, .parquet" in report.notes


def test_too_many_files_of_another_kind_stop_the_run(raw: Raw, ingest: Ingest, header: str, row: str) -> None:
    raw("a.csv", header + row)
    raw("b.csv", "x,y\n1,2\n")
    raw("c.csv", "x,y\n1,2\n")
    refused(ingest, "2 of 3 files are not of source 'rees46'", "b.csv: its first line is 'x, y'", "event_time")


def test_a_column_missing_in_json_lines(raw: Raw, ingest: Ingest) -> None:
    raw("a.jsonl", '{"session_id": "s", "sku": 1, "event_type": "view", "timestamp": "2019-10-01T00:00:00Z"}\n' * 2)
    refused(ingest, "missing column: item_id", "a.jsonl", source="mapped")


def test_a_line_that_is_no_json_is_kept_and_named(raw: Raw, ingest: Ingest, written: Written) -> None:
    good = '{"session_id": "s", "item_id": 1, "event_type": "view", "timestamp": "2019-10-01T00:00:00Z"}\n'
    raw("a.jsonl", good + good + good[:30])
    ingest("mapped")
    assert written()["parse_error"].to_list() == [None, None, "not JSON"]


def test_no_row_inside_the_days_asked_for(raw: Raw, ingest: Ingest, header: str, row: str) -> None:
    raw("a.csv", header + row)
    refused(ingest, "no row is inside the window", first_day="2020-01-01")


def test_every_time_in_the_future(raw: Raw, ingest: Ingest, header: str, row: str) -> None:
    raw("a.csv", header + row.replace("2019-", "2098-"))
    refused(ingest, "every time is in the future", "days 2098-10-01 to 2098-10-01", "clock")


def test_days_in_the_future_are_outside_the_window(raw: Raw, ingest: Ingest, header: str, row: str) -> None:
    raw("a.csv", header + row + row.replace("2019-", "2098-") * 5)
    report = ingest("rees46")
    assert (report.result["first_day"], report.result["last_day"]) == ("2019-10-01", "2019-10-01")
