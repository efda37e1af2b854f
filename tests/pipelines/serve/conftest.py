"""A real Triton that serves a model of 40 items as version 7; what it answers is known: the session's own items first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from infra.local import triton
from pipelines.register import export
from pipelines.register.params import ServeParams
from pipelines.stores import repository
from pipelines.stores.settings import Settings, settings
from tests.pipelines.register.test_export import Config, Features, FirstItem

LENGTH, NUM_ITEMS, K, VERSION = 8, 40, 10, 7
IDS = [7 * number - 20 for number in range(1, NUM_ITEMS + 1)]


@pytest.fixture(scope="session")
def vocabulary() -> pl.DataFrame:
    index = np.arange(1, NUM_ITEMS + 1)
    keys = [f"item-{number}" for number in index]
    return pl.DataFrame({"item_id": IDS, "item_key": keys, "index": index, "count": NUM_ITEMS - index + 1})


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory, vocabulary: pl.DataFrame) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("served")
    serve = ServeParams(exclude_seen=False, max_denied=4)
    features = Features(num_items=NUM_ITEMS, max_session_length=LENGTH)
    served = export.served(FirstItem(Config(), features), vocabulary, K, {}, serve)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEXTCLICK_VAR", str(folder / "var"))
        settings.cache_clear()
        version = repository.home(settings().model_name) / str(VERSION)
        version.mkdir(parents=True)
        export.export(served, version / "model.onnx")
        (version / "config.pbtxt").write_text(export.config(served.widths(), K, {"model_kind": "first_item"}))
        repository.pin(settings().model_name, VERSION)
        vocabulary.write_parquet(version / "vocabulary.parquet")
    settings.cache_clear()
    with triton.temporary(folder) as found:
        yield found


@pytest.fixture
def served(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The settings lead to the server; gives the vocabulary of what it serves."""
    for name in ("var", "triton_http_port", "triton_grpc_port", "triton_metrics_port"):
        monkeypatch.setenv(f"NEXTCLICK_{name.upper()}", str(getattr(platform, name)))
    settings.cache_clear()
    yield repository.home(platform.model_name) / str(VERSION) / "vocabulary.parquet"
    settings.cache_clear()
