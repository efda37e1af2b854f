"""Days of events written directly, the settings of params.yaml with changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines import params, paths, validate
from pipelines.columns import PARSE_ERROR, RAW_SCHEMA, TIME
from pipelines.stage import Report
from pipelines.stores.settings import ROOT
from pipelines.validate.params import ValidateParams

DAY = datetime(2026, 11, 1, tzinfo=UTC)
HOURS = 15
"""Hours of a good day: one row in each of its minutes."""

Rows = list[dict[str, Any]]


def event(number: int, day: datetime = DAY, **changes: Any) -> dict[str, Any]:
    """A good row: minute `number` of the day, three events to a session, twenty items, price 10."""
    row = {
        "session_id": f"s{number // 3}",
        "user_id": "u",
        "item_id": number % 20,
        "item_key": None,
        "event_type": "view",
        "timestamp": day + timedelta(minutes=number),
        "price": 10.0,
        "category": "a.b",
        "brand": "x",
        "source_file": f"{day:%m-%d}.csv",
        "source_row": number + 1,
        "raw": f"text of row {number + 1}",
        PARSE_ERROR: None,
    }
    return row | changes


def good_day(day: datetime = DAY, rows: int = HOURS * 60) -> Rows:
    return [event(number, day) for number in range(rows)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings_of() -> Callable[..., ValidateParams]:
    def changed(**changes: Any) -> ValidateParams:
        return params.validate("validate", ValidateParams, params.read(ROOT / "params.yaml")["validate"] | changes)

    return changed


def write_events(days: Mapping[str, Rows], window: Sequence[str]) -> None:
    """data/events as the stage before would write it."""
    for day, rows in days.items():
        path = paths.EVENTS / f"day={day}" / "events.parquet"
        path.parent.mkdir(parents=True)
        pl.DataFrame(rows, schema=RAW_SCHEMA).write_parquet(path)
    (paths.EVENTS / "summary.json").write_text(json.dumps({"first_day": window[0], "last_day": window[-1]}))


@pytest.fixture
def judge(folder: Path, settings_of: Callable[..., ValidateParams]) -> Callable[..., Report]:
    """Write days of events (name -> rows; the window is those with a name in it) and run the stage."""

    def run(days: Mapping[str, Rows], window: Sequence[str] = ("2026-11-01",), **changes: Any) -> Report:
        write_events(days, window)
        return validate.run(settings_of(**changes))

    return run


@pytest.fixture(name="event")
def _event() -> Callable[..., dict[str, Any]]:
    return event


@pytest.fixture(name="good_day")
def _good_day() -> Callable[..., Rows]:
    return good_day


@pytest.fixture
def stray() -> Callable[[int], dict[str, Any]]:
    """A row dated far outside."""
    return lambda number: event(number, datetime(1970, 1, 1, tzinfo=UTC)) | {TIME: datetime(1970, 1, 1, tzinfo=UTC)}
