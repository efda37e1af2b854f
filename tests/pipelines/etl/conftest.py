"""Hand-made validated days, written into a workspace of the test."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.columns import SCHEMA
from pipelines.etl import run
from pipelines.etl.params import EtlParams
from pipelines.split import SplitParams
from pipelines.stage import Report

DAY0 = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)  # a Monday

ETL: dict[str, Any] = {
    "sessions_by": "id",
    "inactivity_minutes": 30,
    "event_types": ("view", "cart", "purchase"),
    "deduplicate": "none",
    "min_item_support": 1,
    "min_category_support": 1,
    "min_session_length": 2,
    "max_session_length": 20,
    "keep_users": True,
    "engine": "cpu",
    "streaming_events": 1_000_000,
    "partition_events": 1_000,
    "scheduler": None,
}
SPLIT: dict[str, Any] = {"by": "days", "valid_days": 1, "test_days": 1, "valid_share": 0.2, "test_share": 0.2}

Row = dict[str, Any]


def etl(**changes: Any) -> EtlParams:
    return EtlParams(**{**ETL, **changes})


def split(**changes: Any) -> SplitParams:
    return SplitParams(**{**SPLIT, **changes})


def session(name: str | None, items: Sequence[int], day: int, **more: Any) -> list[Row]:
    """Views, a minute apart, from noon of that day."""
    noon = DAY0 + dt.timedelta(days=day, hours=12)
    return [
        {"session_id": name, "user_id": "u", "item_id": item, "timestamp": noon + dt.timedelta(minutes=n), **more}
        for n, item in enumerate(items)
    ]


def frame(rows: list[Row]) -> pl.DataFrame:
    given = {"event_type": "view", "price": 10.0, "category": "toys", "brand": "acme", "source_file": "a.csv"}
    full = [{"source_row": n, **given, **row} for n, row in enumerate(rows, 1)]
    return pl.DataFrame(full, schema=SCHEMA)


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes sessions as day files into the current directory, an empty workspace."""
    monkeypatch.chdir(tmp_path)

    def write(*sessions: list[Row]) -> None:
        shutil.rmtree("data/validate", ignore_errors=True)
        rows = frame([row for part in sessions for row in part])
        for (day,), part in rows.group_by(pl.col("timestamp").dt.date(), maintain_order=True):
            folder = Path(f"data/validate/day={day}")
            folder.mkdir(parents=True, exist_ok=True)
            part.write_parquet(folder / "events.parquet")

    return write


WINDOW = (session("a", [11, 12, 13], 0), session("b", [12, 11], 1), session("c", [13, 12], 2), session("d", [11, 13], 3))
"""Two training days, a validation day, a test day; items 11, 12, 13 get the indices 1, 2, 3."""


@pytest.fixture
def window(days: Callable[..., None]) -> Callable[..., tuple[Report, dict[str, Any]]]:
    """Runs etl on these sessions (WINDOW if none); the report and what data/etl holds."""

    def build(*sessions: list[Row], cut: SplitParams | None = None, **settings: Any) -> tuple[Report, dict[str, Any]]:
        days(*(sessions or WINDOW))
        report = run(etl(**settings), cut or split())
        return report, out()

    return build


def out(folder: Path = Path("data/etl")) -> dict[str, Any]:
    """Arrays by name; vocabulary, items, session_ids as frames; schema and summary."""
    arrays = {file.stem: np.load(file) for file in [*folder.glob("columns/*.npy"), *folder.glob("*.npy")]}
    frames = {file.stem: pl.read_parquet(file) for file in folder.glob("*.parquet")}
    texts = {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}
    return {**arrays, **frames, **texts}
