"""A run's folder up to the registered version, as the gate finds it; no MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.stores.settings import settings
from tests.pipelines import run_folder

REHEARSAL: dict[str, Any] = {
    **{"p50_ms": 2.0, "p95_ms": 5.0, "memory_mb": 100.0, "why_no_memory": None, "why": None, "requests": 30},
    **{"parity_sessions": 30, "parity_wrong": 0, "parity_difference": 0.0, "champion": None},
}
MADE: dict[str, Any] = {"model": "m", "version": 4, "run_id": "r", "mlflow_url": "url", "name": "gru4rec", "rehearsal": REHEARSAL}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_store: str) -> Path:
    """The current directory: models trained and evaluated, data/register/version.json; no champion."""
    folder = tmp_path / "run"
    run_folder.make(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NEXTCLICK_TRITON_HTTP_PORT", "1")  # nobody listens there
    settings.cache_clear()
    place = Path("data/register")
    (place / "package").mkdir(parents=True)
    (place / "version.json").write_text(json.dumps(MADE))
    return folder
