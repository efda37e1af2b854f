"""A folder of its own for each test, the settings of params.yaml with changes, and raw files in a line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines import events, params, paths
from pipelines.events.params import EventsParams
from pipelines.stage import Report
from pipelines.stores.settings import ROOT

HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
ROW = "2019-10-01 00:00:04 UTC,view,1004237,205,electronics.smartphone,apple,1081.98,535871217,c6bd7419\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with an empty data/raw."""
    monkeypatch.chdir(tmp_path)
    paths.RAW.mkdir(parents=True)
    return tmp_path


@pytest.fixture
def settings_of() -> Callable[..., EventsParams]:
    """Section events of the project's params.yaml with changes: mapped__item_id="sku" goes down."""

    def changed(**changes: Any) -> EventsParams:
        values = params.read(ROOT / "params.yaml")["events"]
        for key, value in changes.items():
            *sections, name = key.split("__")
            place = values
            for part in sections:
                place = place[part]
            place[name] = value
        return params.validate("events", EventsParams, values)

    return changed


@pytest.fixture
def raw(folder: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file of data/raw; packed where its name ends in .gz."""

    def write(name: str, text: str | bytes) -> Path:
        content = text.encode() if isinstance(text, str) else text
        path = paths.RAW / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


@pytest.fixture
def ingest(folder: Path, settings_of: Callable[..., EventsParams]) -> Callable[..., Report]:
    """Run the stage with these changes of its settings."""
    return lambda source, **changes: events.run(settings_of(source=source, **changes))


@pytest.fixture
def written(folder: Path) -> Callable[[], pl.DataFrame]:
    """All rows of data/events, in the order of the sources."""
    return lambda: pl.concat(
        [pl.read_parquet(path, hive_partitioning=False) for path in sorted(paths.EVENTS.glob("day=*/*.parquet"))]
    ).sort("source_file", "source_row")


@pytest.fixture
def header() -> str:
    return HEADER


@pytest.fixture
def row() -> str:
    return ROW
