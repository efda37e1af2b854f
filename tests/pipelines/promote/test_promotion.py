"""Register, gate, promote, answer, roll back: with a real Triton and a real registry."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.local import triton
from pipelines import gate, params, promote, register, rollback
from pipelines.errors import DataError, ServiceError
from pipelines.gate.params import GateParams
from pipelines.promote.params import PromoteParams
from pipelines.register.params import RegisterParams
from pipelines.serve.client import Client
from pipelines.stage import Report
from pipelines.stores import publication, registry, repository
from pipelines.stores.answers import INPUT, Graph, differences, pad
from pipelines.stores.settings import Settings, settings
from pipelines.stores.triton import Server
from tests.pipelines import run_folder

pytestmark = pytest.mark.services

SESSION = [[1, 8, 15], [-13, -6]]
"""Raw ids of two sessions; item i has the id 7 i - 20."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with triton.temporary(tmp_path_factory.mktemp("platform")) as found:
        yield found


def connect(platform: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("var", "mlruns", "triton_http_port", "triton_grpc_port", "triton_metrics_port"):
        monkeypatch.setenv(f"NEXTCLICK_{name.upper()}", str(getattr(platform, name)))
    monkeypatch.setenv("NEXTCLICK_MLFLOW_URI", "")
    settings.cache_clear()


@pytest.fixture(autouse=True)
def connected(platform: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    connect(platform, monkeypatch)
    monkeypatch.chdir(tmp_path)
    yield
    settings.cache_clear()


def registered(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> Report:
    """A run's folder with models of its own, up to the registered version."""
    run_folder.make(folder, seed)
    monkeypatch.chdir(folder)
    return register.run(params.section("register", RegisterParams))


def judged() -> Report:
    return gate.run(params.section("gate", GateParams))


def promoted(version: int | None = None) -> Report:
    return promote.run(PromoteParams(version=version, keep=3))


def aliases() -> dict[str, int | None]:
    return {name: found.version if (found := registry.resolve(name)) else None for name in ("champion", "previous", "challenger")}


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
    monkeypatch.setenv(
        "REVIEW", json.dumps({"chosen_options": ["Approve"], "responded_by_user": {"name": "ann"}, "params_input": None})
    )
    promoted()
    assert aliases() == {"champion": one, "previous": None, "challenger": one}
    assert registry.get(one).tags["review.by"] == "ann"

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
    again = register.run(params.section("register", RegisterParams))
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
    assert [(one.name, one.shape) for one in info.signature.inputs.inputs] == [("item_ids", (-1, run_folder.LENGTH))]
    assert [one.name for one in info.signature.outputs.inputs] == ["next_item_ids", "scores", "fallback"]
    loaded = mlflow.pyfunc.load_model(version.source)
    assert set(loaded.predict({"item_ids": pad(SESSION, run_folder.LENGTH)})) == {"next_item_ids", "scores", "fallback"}
    judged()
    page = registry.get(version.version)
    assert page.tags["gate.verdict"] in ("yes", "no")
    assert "# Decision" in page.description


def champion_serves(version: int) -> None:
    found = aliases()
    assert found["champion"] == version
    assert Client().recommend(SESSION)[0].version == version
    assert Server().versions(settings().model_name) == [version]
    assert repository.pinned(settings().model_name) == version
    assert not repository.staging().exists()


@pytest.fixture(scope="module")
def two(platform: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int]:
    """Two versions that the gate let pass, and a copy of their artifacts beside them."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        connect(platform, monkeypatch)
        folders = [tmp_path_factory.mktemp(name) / "run" for name in ("champion", "challenger")]
        numbers = [registered(folder, monkeypatch, seed).result["version"] for seed, folder in enumerate(folders, 5)]
        for number in numbers:
            registry.tag(number, {"gate.verdict": "yes"})
            home = artifact(number, "model.onnx").parent
            shutil.copytree(home, home.with_name("pristine"))
    settings.cache_clear()
    return numbers[0], numbers[1]


@pytest.fixture
def ready(two: tuple[int, int]) -> tuple[int, int]:
    """A champion that serves and has no predecessor, and a newer version that the gate let pass; both numbers."""
    for number in two:
        home = artifact(number, "card.md").parent
        shutil.rmtree(home)
        shutil.copytree(home.with_name("pristine"), home)
        registry.tag(number, {"gate.verdict": "yes"})
    shutil.rmtree(repository.home(settings().model_name) / str(two[1]), ignore_errors=True)
    promoted(two[0])
    registry.drop(registry.PREVIOUS)
    Path("data/register").mkdir(parents=True)
    Path("data/register/version.json").write_text(json.dumps({"version": two[1]}))
    return two


def artifact(version: int, name: str) -> Path:
    (home,) = settings().artifacts.rglob(registry.get(version).source.removeprefix("models:/"))
    return home / "artifacts" / name


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "manifest.json"])
def test_an_artifact_changed_after_registration_is_refused(ready: tuple[int, int], name: str) -> None:
    champion, challenger = ready
    path = artifact(challenger, name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{name} is not what was registered") as failure:
        promoted()
    assert registry.get(challenger).hashes[name] in failure.value.where
    champion_serves(champion)


def test_a_file_added_after_registration_is_refused(ready: tuple[int, int]) -> None:
    champion, challenger = ready
    (artifact(challenger, "model.onnx").parent / "model.pkl").write_bytes(b"x")
    with pytest.raises(DataError, match=r"model\.pkl was not registered"):
        promoted()
    champion_serves(champion)


def test_a_version_that_the_gate_refused_is_not_promoted(ready: tuple[int, int]) -> None:
    champion, challenger = ready
    registry.tag(challenger, {"gate.verdict": "no"})
    with pytest.raises(DataError, match="may not be promoted"):
        promoted()
    champion_serves(champion)


def test_triton_down_at_promotion(ready: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is changed, neither in the registry nor in the repository."""
    champion, challenger = ready
    with monkeypatch.context() as away:
        away.setenv("NEXTCLICK_TRITON_HTTP_PORT", "9")
        settings.cache_clear()
        with pytest.raises(ServiceError, match="Triton does not answer"):
            promoted()
    settings.cache_clear()
    champion_serves(champion)
    promoted()
    champion_serves(challenger)


@pytest.mark.parametrize("step", ["copyfile", "_sync", "rename", "replace"])
def test_a_disk_full_while_publishing(ready: tuple[int, int], monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """At the copy, the fsync, the rename into the repository, the switch of the configuration."""
    champion, challenger = ready

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "model.onnx")

    with monkeypatch.context() as broken:
        owner: Any = {"copyfile": repository.shutil, "_sync": repository}.get(step, Path)  # type: ignore[attr-defined]
        broken.setattr(owner, step, full)
        with pytest.raises(ServiceError, match="the disk is full"):
            promoted()
    champion_serves(champion)
    promoted()
    champion_serves(challenger)


def test_a_graph_that_triton_answers_differently_is_taken_back(ready: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """After the load, before the alias: Triton has the new version already, and gives it up again."""
    champion, _ = ready
    monkeypatch.setattr(publication, "differences", lambda expected, got: (np.ones(len(expected), bool), 1.0))
    monkeypatch.setattr(publication, "_checked", lambda version: staged_unchecked(version))
    with pytest.raises(DataError, match="Triton does not answer as the file does"):
        promoted()
    champion_serves(champion)


def staged_unchecked(version: registry.Version) -> Path:
    package = repository.staging() / "package"
    registry.fetch(version, package)
    return repository.stage(package, version.model, version.version)


class Killed(BaseException):
    """As if the process had ended there."""


@pytest.mark.parametrize("step", ["put", "pin", "load", "previous", "champion"])
def test_killed_after_a_step_the_next_promotion_repairs(
    ready: tuple[int, int], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """No undoing runs, as with kill -9. Triton answers all the while."""
    champion, challenger = ready

    def dies_after(call: Any) -> Any:
        def wrapped(*words: Any, **named: Any) -> Any:
            call(*words, **named)
            raise Killed

        return wrapped

    with monkeypatch.context() as killed:
        killed.setattr(publication, "_undo", lambda steps: steps.pop_all())
        owner, name = {"put": (repository, "put"), "pin": (repository, "pin"), "load": (Server, "load")}.get(
            step, (registry, "move")
        )
        original = getattr(owner, name)
        if name == "move":
            killed.setattr(
                registry, "move", lambda alias, number: (dies_after(original) if alias == step else original)(alias, number)
            )
        else:
            killed.setattr(owner, name, dies_after(original))
        with pytest.raises(Killed):
            promoted()
    assert Client().recommend(SESSION)[0].version == (champion if step in ("put", "pin") else challenger)
    promoted()
    champion_serves(challenger)
    assert aliases()["previous"] == champion
    rollback.run()
    champion_serves(champion)


def test_answers_never_stop_while_versions_are_swapped(ready: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Four clients ask all the while: no request fails, every answer is that of one of the two versions."""
    champion, challenger = ready
    request = {INPUT: pad(SESSION, run_folder.LENGTH)}
    truth = {number: Graph(artifact(number, "model.onnx")).ask(request) for number in ready}
    stop, failures, seen = threading.Event(), [], set()

    def client() -> None:
        server = Server()
        while not stop.is_set():
            try:
                answers, version = server.ask(settings().model_name, request)
                seen.add(version)
                if differences(truth[version], answers)[0].any():
                    failures.append(f"wrong answer of version {version}")
            except Exception as error:
                failures.append(str(error))

    clients = [threading.Thread(target=client) for _ in range(4)]
    for one in clients:
        one.start()
    promoted()
    for _ in range(3):
        rollback.run()
    stop.set()
    for one in clients:
        one.join()
    assert failures == []
    assert seen == {champion, challenger}


def test_rollback_without_a_previous_version_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTCLICK_MODEL_NAME", "another_model")
    settings.cache_clear()
    with pytest.raises(DataError, match="no previous champion"):
        rollback.run()
