"""A service that is away is said within seconds, with what to do; nothing else breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import ServiceError
from pipelines.register.rehearse import rehearse
from pipelines.serve.client import Client
from pipelines.stores import registry
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Port 9 answers nobody here."""
    monkeypatch.setenv("NEXTCLICK_MLFLOW_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("NEXTCLICK_TRITON_HTTP_PORT", "9")
    monkeypatch.setenv("NEXTCLICK_VAR", str(tmp_path / "var"))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    "call",
    [
        lambda folder: registry.resolve("champion"),
        lambda folder: registry.fetch("champion", folder / "champion"),
        lambda folder: registry.move("champion", 1),
        lambda folder: registry.tag(1, {"a": "b"}),
    ],
    ids=["resolve", "fetch", "move", "tag"],
)
def test_mlflow_down(call: Callable[[Path], object], tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(ServiceError, match="MLflow does not answer") as failure:
        call(tmp_path)
    assert "http://127.0.0.1:9" in failure.value.where
    assert "make up" in failure.value.next_step
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    "call",
    [
        lambda: Server().check(),
        lambda: Server().load("shop"),
        lambda: Server().ask("shop", {"item_ids": np.ones((1, 3), dtype=np.int64)}),
        lambda: Client().recommend([[1]]),
    ],
    ids=["check", "load", "ask", "recommend"],
)
def test_triton_down(call: Callable[[], object]) -> None:
    settings().triton_key_file.parent.mkdir(parents=True)
    settings().triton_key_file.write_text("key")
    with pytest.raises(ServiceError) as failure:
        call()
    assert "127.0.0.1:9" in failure.value.where
    assert "make up" in failure.value.next_step


def test_a_rehearsal_without_triton_measures_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTCLICK_MLFLOW_URI", "")  # it is there: the version has been registered
    settings.cache_clear()
    found = rehearse(tmp_path, {"item_ids": np.ones((1, 3), dtype=np.int64)}, 20, tmp_path / "champion")
    assert (found.p50_ms, found.p95_ms, found.parity_wrong) == (None, None, None)
    assert found.why
    assert "Triton does not answer" in found.why
