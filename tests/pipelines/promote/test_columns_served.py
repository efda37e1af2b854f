"""A model that reads categories, prices, times and types of events: registered, promoted, and asked in a real Triton."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from infra.local import triton
from pipelines import gate, params, promote, register
from pipelines.columns import text_hash
from pipelines.errors import DataError
from pipelines.gate.params import GateParams
from pipelines.promote.params import PromoteParams
from pipelines.register.params import RegisterParams, ServeParams
from pipelines.serve.client import Client, Event
from pipelines.stores.answers import Graph, pad, read_golden
from pipelines.stores.settings import Settings, settings
from tests.pipelines import run_folder

pytestmark = pytest.mark.services

NOON = datetime(2026, 11, 4, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Settings]]:
    """The run's folder, as the current directory, and the platform whose Triton serves its model."""
    home = tmp_path_factory.mktemp("run")
    with triton.temporary(tmp_path_factory.mktemp("platform")) as platform, pytest.MonkeyPatch.context() as patch:
        for name in ("var", "mlruns", "triton_http_port", "triton_grpc_port", "triton_metrics_port"):
            patch.setenv(f"NEXTCLICK_{name.upper()}", str(getattr(platform, name)))
        patch.setenv("NEXTCLICK_MLFLOW_URI", "")
        settings.cache_clear()
        run_folder.make(home, columns=run_folder.COLUMNS)
        patch.chdir(home)
        found = register.run(params.section("register", RegisterParams), params.section("serve", ServeParams))
        assert found.result["name"] == "gru4rec"
        assert not gate.run(params.section("gate", GateParams)).refused
        promote.run(PromoteParams(keep=3))
        yield home, platform
    settings.cache_clear()


def test_the_server_names_the_inputs_and_answers_as_the_file_does(served: tuple[Path, Settings]) -> None:
    home, platform = served
    model = httpx.get(f"http://127.0.0.1:{platform.triton_http_port}/v2/models/{platform.model_name}").json()
    assert {one["name"] for one in model["inputs"]} == {
        "item_ids",
        "timestamps",
        "event_types",
        "exclude_seen",
        "denied_item_ids",
    }
    session = [Event(1, NOON, "view"), Event(8, NOON, "cart"), Event(15, NOON, "view")]
    (answer,) = Client().recommend([session], k=5)
    micros = int(NOON.timestamp()) * 1_000_000
    types = [text_hash(text) for text in ("view", "cart", "view")]
    request = {"item_ids": [1, 8, 15], "timestamps": [micros] * 3, "event_types": types}
    graph = Graph(home / "data/register/package/model.onnx")
    expected = graph.ask({name: pad([values], graph.length, -1 if name == "item_ids" else 0) for name, values in request.items()})
    assert answer.items == expected.ids[0, :5].tolist()
    np.testing.assert_allclose(answer.scores, expected.scores[0, :5], rtol=1e-5)
    (later,) = Client().recommend([[Event(1, NOON, "cart"), Event(8, NOON, "cart"), Event(15, NOON, "cart")]], k=5)
    assert later.scores != answer.scores


def test_the_golden_sessions_hold_all_inputs(served: tuple[Path, Settings]) -> None:
    request, _ = read_golden(served[0] / "data/register/package/golden.json")
    assert list(request) == ["item_ids", "timestamps", "event_types", "exclude_seen", "denied_item_ids"]
    assert [values.shape for values in request.values()] == [(28, run_folder.LENGTH)] * 3 + [(28, 1), (28, 64)]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (1, "reads the times of events, one has none"),
        (Event(1, datetime(2026, 11, 4)), "one has no time zone"),
        (Event(1, NOON), "reads the types of events, one has none"),
    ],
)
def test_a_client_that_sends_too_little_is_told_what_is_missing(
    served: tuple[Path, Settings], event: int | Event, said: str
) -> None:
    with pytest.raises(DataError, match=said) as failure:
        Client().recommend([[event]])
    assert "Event(" in failure.value.next_step
