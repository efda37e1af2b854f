"""Register, gate, promote, answer, roll back: with a real Triton and a real registry. What can go wrong: tests/faults."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import triton
from pipelines import register, rollback, stage
from pipelines.errors import DataError
from pipelines.serve.client import Client
from pipelines.stores import registry
from pipelines.stores.answers import INPUT, Graph, fit, pad
from pipelines.stores.settings import Settings, settings
from pipelines.stores.triton import Server
from tests.pipelines import publishing, run_folder
from tests.pipelines.publishing import SESSION, aliases, judged, last_change, promoted, registered

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with triton.temporary(tmp_path_factory.mktemp("platform")) as found:
        yield found


@pytest.fixture(autouse=True)
def connected(platform: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with publishing.connected(platform):
        monkeypatch.chdir(tmp_path)
        yield


def champion_scored(folder: Path) -> None:
    """What workspace and evaluate do: the champion's package, and its ranks on this run's sessions (here: gru4rec's own)."""
    version = registry.fetch("champion", folder / "data" / "train" / "champion")
    assert version
    for name in ("metrics.json", "ranks.parquet"):
        source = folder / "data" / "evaluate" / "gru4rec" / name
        (folder / "data" / "evaluate" / "champion" / name).write_bytes(source.read_bytes())


def test_the_whole_way_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: Settings) -> None:
    """Two versions are registered, judged, promoted; then the first one serves again."""
    first = registered(tmp_path / "one", monkeypatch, seed=1)
    one = first.result["version"]
    made = json.loads(Path("data/register/version.json").read_text())
    assert made["name"] == "gru4rec"
    assert made["rehearsal"]["parity_wrong"] == 0
    assert made["rehearsal"]["p95_ms"] > 0
    assert made["graph"]["difference"] < 1e-4
    decision = judged()
    assert decision.result["verdict"] == "yes"
    assert not decision.refused
    assert "no champion yet" in decision.result["summary"]
    monkeypatch.setenv("NEXTCLICK_ACTOR", "ann")
    promoted()
    assert aliases() == {"champion": one, "previous": None, "challenger": one}
    told = last_change()
    assert [step["step"] for step in told["steps"]] == [
        *("begin", "stage", "place", "pin", "load", "ask", "champion", "tags", "prune")
    ]
    assert (told["version"], told["champion"], told["by"], told["outcome"]) == (one, None, "ann", "done")

    expected = Graph(Path("data/register/package/model.onnx")).ask({INPUT: pad(SESSION, run_folder.LENGTH)})
    answers = Client().recommend(SESSION, k=5)
    assert [answer.items for answer in answers] == expected.ids[:, :5].tolist()
    assert [answer.version for answer in answers] == [one, one]
    assert Client(vocabulary=Path("data/etl/vocabulary.parquet")).recommend([["item-3", "item-4", "item-5"]], k=5)[0].items == [
        f"item-{(item + 20) // 7}" for item in answers[0].items
    ]

    two = registered(tmp_path / "two", monkeypatch, seed=2).result["version"]
    assert two == one + 1
    champion_scored(tmp_path / "two")
    decision = judged()
    assert decision.result["verdict"] == "yes"
    assert f"against version {one}" in decision.result["summary"]
    promoted()
    assert aliases() == {"champion": two, "previous": one, "challenger": two}
    assert Client().recommend(SESSION)[0].version == two

    begin = time.monotonic()
    rollback.run()
    assert time.monotonic() - begin < 10
    assert aliases() == {"champion": one, "previous": two, "challenger": two}
    assert Client().recommend(SESSION, k=5)[0].items == answers[0].items
    assert Server().versions(platform.model_name) == [one]


def test_a_task_tried_twice_makes_one_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = registered(tmp_path / "run", monkeypatch, seed=3).result["version"]
    again = register.run(**stage.arguments("register", register.run, []))
    assert again.result["version"] == version
    assert again.wrote["versions"] == 0


def test_the_registry_page_has_signature_card_hashes_and_lineage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow
    from mlflow.models import get_model_info

    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "scheduled-1")
    version = registry.get(registered(tmp_path / "run", monkeypatch, seed=4).result["version"])
    assert version.description.startswith("# gru4rec: next item of a session")
    assert version.tags["lineage.airflow_run_id"] == "scheduled-1"
    assert version.tags["lineage.data_days"] == "2026-11-01..2026-11-09"
    names = {
        "model.onnx",
        "weights.safetensors",
        "vocabulary.parquet",
        "golden.json",
        "card.md",
        "plots/learning.png",
        "manifest.json",
    }
    assert names < set(version.hashes)
    mlflow.set_tracking_uri(settings().tracking_uri)
    info = get_model_info(f"models:/{version.model}/{version.version}")
    widths = {one.name: one.shape for one in info.signature.inputs.inputs}
    assert widths == {"item_ids": (-1, run_folder.LENGTH), "exclude_seen": (-1, 1), "denied_item_ids": (-1, 64)}
    assert [one.name for one in info.signature.outputs.inputs] == ["next_item_ids", "scores", "fallback"]
    loaded = mlflow.pyfunc.load_model(version.source)
    request = fit({INPUT: pad(SESSION, run_folder.LENGTH)}, {name: shape[1] for name, shape in widths.items()})
    assert set(loaded.predict(request)) == {"next_item_ids", "scores", "fallback"}
    judged()
    page = registry.get(version.version)
    assert page.tags["gate.verdict"] in ("yes", "no")
    assert "# Decision" in page.description


def test_rollback_without_a_previous_version_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTCLICK_MODEL_NAME", "another_model")
    settings.cache_clear()
    with pytest.raises(DataError, match="no previous champion"):
        rollback.run()
