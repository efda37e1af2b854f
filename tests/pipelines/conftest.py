"""Small data sets for the stages after etl, and an MLflow of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from pipelines.stores.settings import settings

DAY_US = 86_400_000_000
FIRST_DAY_US = 20_000 * DAY_US  # 2024-10-04

Split = tuple[Sequence[Sequence[int]], Sequence[Sequence[int]], Sequence[Sequence[int]]]


def write_etl(parts: Split, num_items: int, folder: Path = Path("data/etl")) -> None:
    """data/etl of these sessions (train, valid, test): one day for each part, one minute between events."""
    sessions = [list(session) for part in parts for session in part]
    split = np.repeat(np.arange(3, dtype=np.int8), [len(part) for part in parts])
    lengths = np.array([len(session) for session in sessions], dtype=np.int64)
    items = np.array([item for session in sessions for item in session], dtype=np.int64)
    days = np.repeat(split, lengths).astype(np.int64)
    times = FIRST_DAY_US + days * DAY_US + np.arange(len(items)) * 60_000_000
    counts = np.bincount(items[days == 0], minlength=num_items + 1)[1:]
    (folder / "columns").mkdir(parents=True, exist_ok=True)
    np.save(folder / "columns/item_id.npy", items)
    np.save(folder / "columns/timestamp.npy", times)
    np.save(folder / "offsets.npy", np.concatenate([[0], lengths.cumsum()]).astype(np.int64))
    np.save(folder / "split.npy", split)
    index = np.arange(1, num_items + 1)
    vocabulary = {"item_id": index + 1000, "item_key": None, "index": index, "first_seen": times.min(), "count": counts}
    pl.DataFrame(vocabulary, schema_overrides={"item_key": pl.String}).write_parquet(folder / "vocabulary.parquet")
    paths = ["toys.cars", "toys.dolls", "books", None]  # of items 1, 2, 3, 4, then again
    rows = {"index": index, "category": [paths[(number - 1) % 4] for number in index]}
    pl.DataFrame(rows, schema={"index": pl.Int32, "category": pl.String}).write_parquet(folder / "items.parquet")
    schema = {
        "num_items": num_items,
        "max_session_length": int(lengths.max()),
        "events": len(items),
        "sessions": len(sessions),
        "columns": {
            "item_id": {"dtype": "int64", "role": "item", "cardinality": num_items + 1},
            "timestamp": {"dtype": "int64", "role": "time", "cardinality": None},
        },
    }
    (folder / "schema.json").write_text(json.dumps(schema))
    test_events = int((days == 2).sum())
    (folder / "summary.json").write_text(json.dumps({"test_events": test_events + 2, "unseen_test_events": 2}))


@pytest.fixture(name="write_etl")
def _write_etl() -> Callable[..., None]:
    return write_etl


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, made once: its tables take seconds."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def mlflow_store(tmp_path: Path, mlflow_template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """NEXTCLICK's MLflow is an empty database of this test; its address."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(mlflow_template, folder / "mlflow.db")
    monkeypatch.setenv("NEXTCLICK_MLRUNS", str(folder))
    monkeypatch.delenv("NEXTCLICK_MLFLOW_URI", raising=False)
    settings.cache_clear()
    yield settings().tracking_uri
    settings.cache_clear()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A run's folder with params.yaml (of the project, with changes by dotted name) as the current directory."""
    values: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def change(**changes: Any) -> Path:
        for name, value in changes.items():
            *sections, key = name.split("__")
            place = values
            for part in sections:
                place = place[part]
            place[key] = value
        (folder / "params.yaml").write_text(yaml.safe_dump(values))
        return folder

    change()
    return change


def add_column(
    etl: Path, name: str, values: Sequence[float], texts: Sequence[str] | None = None, rare: Sequence[str] = (), **described: Any
) -> None:
    """A column of data/etl: indices of `texts` (4 is the first one), or numbers; `described` goes into schema.json."""
    role = "continuous" if texts is None else "categorical"
    np.save(etl / f"columns/{name}.npy", np.array(values, np.float32 if texts is None else np.int32))
    schema = json.loads((etl / "schema.json").read_text())
    schema["columns"][name] = {"role": role, **described}
    if texts is not None:
        schema["columns"][name] |= {"cardinality": 4 + len(texts)}
        (etl / "values").mkdir(exist_ok=True)
        index = [*range(4, 4 + len(texts)), *[3] * len(rare)]
        rows = {"index": index, "value": [*texts, *rare], "count": [9] * len(index)}
        pl.DataFrame(rows, schema={"index": pl.Int32, "value": pl.String, "count": pl.Int64}).write_parquet(
            etl / f"values/{name}.parquet"
        )
    (etl / "schema.json").write_text(json.dumps(schema))
