"""The stage: files in, files out, and when it stops."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines import events, params, paths, validate
from pipelines.columns import SCHEMA
from pipelines.errors import DataError
from pipelines.events.params import EventsParams
from pipelines.stage import Report
from pipelines.stores import quarantine
from pipelines.stores.settings import ROOT
from pipelines.validate.params import ValidateParams
from pipelines.validate.split import QUARANTINE_SCHEMA

pytestmark = pytest.mark.slow

Rows = list[dict[str, Any]]
Judge = Callable[..., Report]
Event = Callable[..., dict[str, Any]]
GoodDay = Callable[..., Rows]
DATA = Path(os.environ.get("NEXTCLICK_DATA") or ROOT / "../shared/data")
SECOND = datetime(2026, 11, 2, tzinfo=UTC)
OUTSIDE = re.compile(r"https?://|//[a-z0-9.-]+\.[a-z]{2,}/|<script|@import", re.I)


def failure(judge: Judge, days: dict[str, Rows], **changes: Any) -> str:
    with pytest.raises(DataError) as caught:
        judge(days, **changes)
    return str(caught.value)


def test_two_days_with_strays_and_undated_rows(
    judge: Judge, event: Event, good_day: GoodDay, stray: Callable[[int], dict[str, Any]]
) -> None:
    first, second = good_day(), good_day(SECOND)
    first[5]["price"] = -1.0
    second[5]["item_id"] = None
    days = {
        "2026-11-01": first,
        "2026-11-02": second,
        "1970-01-01": [stray(0), stray(1)],
        "undated": [event(0, timestamp=None, parse_error="timestamp: not a time: 'soon'")],
    }
    report = judge(days, window=("2026-11-01", "2026-11-02"))
    assert (report.read["rows"], report.wrote["good rows"], report.wrote["quarantined rows"]) == (1803, 1798, 5)
    assert quarantine.reasons() == {
        "2026-11-01": {"price_negative": 1},
        "2026-11-02": {"item_missing": 1},
        "1970-01-01": {"time_before_window": 2},
        "undated": {"time_unreadable": 1},
    }
    assert dict(pl.read_parquet_schema(paths.VALIDATE / "day=2026-11-01/events.parquet")) == SCHEMA
    bad = pl.read_parquet(paths.QUARANTINE / "day=2026-11-01/rows.parquet", hive_partitioning=False)
    assert dict(bad.schema) == QUARANTINE_SCHEMA
    assert bad["raw"].to_list() == ["text of row 6"]
    assert sorted(path.name for path in paths.VALIDATE.iterdir()) == ["day=2026-11-01", "day=2026-11-02", "summary.json"]
    assert not any("warning" in note for note in report.notes)


@pytest.mark.parametrize("kept_rows", [1, 1_000_000])
def test_the_pages_need_no_internet_and_every_link_leads_somewhere(
    judge: Judge, good_day: GoodDay, monkeypatch: pytest.MonkeyPatch, kept_rows: int
) -> None:
    monkeypatch.setattr("pipelines.validate.suite.KEPT_ROWS", kept_rows)
    rows = good_day()
    rows[5]["price"] = -1.0
    judge({"2026-11-01": rows, "2026-11-02": good_day(SECOND)}, window=("2026-11-01", "2026-11-02"))
    pages = list(paths.DOCS.rglob("*.html"))
    judged = {path.parts[-4] for path in paths.DOCS.glob("validations/*/*/*/*.html")}
    assert judged == {"2026-11-01-rows", "2026-11-01-day", "2026-11-02-rows", "2026-11-02-day", "run-days"}
    for page in pages:
        text = page.read_text()
        assert OUTSIDE.findall(text) == [], page
        links = re.findall(r"""(?:href|src)=["']([^"'#]+)["']""", text)
        assert links
        for link in links:
            assert (page.parent / link).exists(), f"{page}: {link}"
    index = (paths.DOCS / "index.html").read_text()
    assert "price_negative" in index
    day = next(paths.DOCS.glob("validations/2026-11-01-rows/*/*/*.html")).read_text()
    assert "price_negative (critical): the price is not negative" in day
    assert "1 unexpected values found" in day


def test_too_many_bad_rows_stop_the_run_after_page_and_quarantine(judge: Judge, good_day: GoodDay) -> None:
    rows = good_day()
    for row in rows[:91]:  # of 900: 10.1 %, one row above the bound
        row["price"] = -1.0
    said = failure(judge, {"2026-11-01": rows}, max_bad_share=0.1)
    assert "expectation bad_share failed (and 1 more): not so that not too many" in said or "bad_share" in said
    assert "day 2026-11-01: 900 rows, 91 quarantined; observed 0.1011, expected at most 0.1" in said
    assert "price_negative: 91 rows" in said
    assert [f"11-01.csv, row {i}: 'text of row {i}'" in said for i in (1, 2, 3, 4)] == [True, True, True, False]
    assert "page: data/docs/index.html" in said
    assert "bad_share" in (paths.DOCS / "index.html").read_text()
    assert len(pl.read_parquet(paths.QUARANTINE / "day=2026-11-01/rows.parquet")) == 91
    assert [path.name for path in paths.VALIDATE.iterdir()] == ["summary.json"]


def test_one_row_less_passes(judge: Judge, good_day: GoodDay) -> None:
    rows = good_day()
    for row in rows[:90]:
        row["price"] = -1.0
    judge({"2026-11-01": rows}, max_bad_share=0.1)


def test_every_row_bad(judge: Judge, good_day: GoodDay) -> None:
    said = failure(judge, {"2026-11-01": [row | {"item_id": None} for row in good_day()]})
    assert "900 rows, 900 quarantined" in said
    assert "item_missing: 900 rows" in said
    assert "text of row 3" in said


def test_a_day_with_too_few_rows(judge: Judge, good_day: GoodDay) -> None:
    said = failure(judge, {"2026-11-01": good_day(rows=5)}, min_day_rows=6)
    assert "expectation volume_low failed: not so that the day has enough good rows" in said
    assert "observed 5, expected at least 6" in said


def test_too_many_rows_outside_the_window(judge: Judge, good_day: GoodDay, stray: Callable[[int], dict[str, Any]]) -> None:
    said = failure(judge, {"2026-11-01": good_day(), "1970-01-01": [stray(i) for i in range(200)]})
    assert "expectation run_bad_share failed" in said
    assert "all days: 1100 rows, 200 quarantined" in said
    assert "text of row 1" in said


def test_an_odd_day_is_a_warning_and_a_missing_one_too(judge: Judge, good_day: GoodDay) -> None:
    third = datetime(2026, 11, 4, tzinfo=UTC)
    odd = [row | {"price": 100.0} for row in good_day(SECOND)]
    report = judge(
        {"2026-11-01": good_day(), "2026-11-02": odd, "2026-11-04": good_day(third)}, window=("2026-11-01", "2026-11-04")
    )
    notes = "\n".join(report.notes)
    assert (
        "warning price_shift: not so that prices are about those of the day before: 2026-11-02 (observed 100, expected at least 5"
        in notes
    )
    assert "warning day_missing" in notes
    assert json.loads((paths.VALIDATE / "summary.json").read_text())["failed"] == {
        "2026-11-02": ["price_shift"],
        "2026-11-04": ["price_shift"],
        "run": ["day_missing"],
    }


@pytest.mark.parametrize(("rows", "session"), [(1, "s"), (3, "s")])
def test_a_single_row_and_a_single_session_pass(judge: Judge, event: Event, rows: int, session: str) -> None:
    report = judge({"2026-11-01": [event(i, session_id=session) for i in range(rows)]})
    assert report.wrote["good rows"] == rows


def test_rows_without_prices_categories_brands_and_users_pass(judge: Judge, good_day: GoodDay) -> None:
    bare = {"price": None, "category": None, "brand": None, "user_id": None}
    assert judge({"2026-11-01": [row | bare for row in good_day()]}).wrote["quarantined rows"] == 0


def test_a_second_run_replaces_the_first(judge: Judge, good_day: GoodDay, settings_of: Callable[..., ValidateParams]) -> None:
    judge({"2026-11-01": good_day()})
    before = (paths.VALIDATE / "day=2026-11-01/events.parquet").read_bytes()
    (paths.VALIDATE / "stale").mkdir()
    validate.run(settings_of())
    assert (paths.VALIDATE / "day=2026-11-01/events.parquet").read_bytes() == before
    assert not (paths.VALIDATE / "stale").exists()


def test_without_events_it_says_what_to_run(folder: Path, settings_of: Callable[..., ValidateParams]) -> None:
    with pytest.raises(DataError, match="python -m pipelines events"):
        validate.run(settings_of())


def test_a_damaged_or_strange_file_of_events_is_named(
    judge: Judge, good_day: GoodDay, settings_of: Callable[..., ValidateParams]
) -> None:
    judge({"2026-11-01": good_day()})
    path = paths.EVENTS / "day=2026-11-01/events.parquet"
    whole = pl.read_parquet(path, hive_partitioning=False)
    whole.with_columns(pl.col("item_id").cast(pl.String)).drop("brand").write_parquet(path)
    with pytest.raises(DataError, match=r"expectation columns failed[\s\S]*brand is missing; item_id is String, not Int64"):
        validate.run(settings_of())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged"):
        validate.run(settings_of())


def from_events(source: str, sample: str) -> Report:
    """events, then validate, with the project's own settings."""
    link = paths.RAW / sample
    link.parent.mkdir(parents=True)
    link.symlink_to((DATA / sample).resolve())
    values = params.read(ROOT / "params.yaml")
    events.run(params.validate("events", EventsParams, values["events"] | {"source": source}))
    return validate.run(params.validate("validate", ValidateParams, values["validate"]))


@pytest.mark.skipif(not (DATA / "rees46_raw").exists(), reason="the REES46 sample is not on this machine (NEXTCLICK_DATA)")
def test_the_first_hours_of_rees46_pass(folder: Path) -> None:
    report = from_events("rees46", "rees46_raw")
    assert (report.result["rows_in"], report.result["reasons"]) == (5019, {"duplicate": 3})


@pytest.mark.skipif(
    not (DATA / "yoochoose_clicks_100k").exists(), reason="the YOOCHOOSE sample is not on this machine (NEXTCLICK_DATA)"
)
def test_yoochoose_passes(folder: Path) -> None:
    report = from_events("gru4rec", "yoochoose_clicks_100k")
    assert (report.result["rows_in"], report.result["reasons"]) == (83_846, {"duplicate": 1})
