"""What tests of publishing share: a run up to its registered version, two versions that may follow each other, who serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipelines import gate, promote, register, stage
from pipelines.promote.params import PromoteParams
from pipelines.serve.client import Client
from pipelines.stage import Report
from pipelines.stores import journal, registry, repository
from pipelines.stores.answers import Answers, Graph, Request, differences, read_golden, take
from pipelines.stores.settings import Settings, settings
from pipelines.stores.triton import Server
from tests.pipelines import run_folder

SESSION = [[1, 8, 15], [-13, -6]]
"""Raw ids of two sessions; item i has the id 7 i - 20."""


def environment(platform: Settings, mlflow_uri: str = "") -> dict[str, str]:
    """Variables that lead a process to these services."""
    names = ("var", "mlruns", "triton_http_port", "triton_grpc_port", "triton_metrics_port")
    found = {f"NEXTCLICK_{name.upper()}": str(getattr(platform, name)) for name in names}
    return {**found, "NEXTCLICK_MLFLOW_URI": mlflow_uri}


@contextmanager
def connected(platform: Settings) -> Iterator[pytest.MonkeyPatch]:
    """This process works with these services."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(platform).items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield patch
    settings.cache_clear()


def registered(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> Report:
    """A run's folder with models of its own, up to the registered version."""
    run_folder.make(folder, seed)
    monkeypatch.chdir(folder)
    return register.run(**stage.arguments("register", register.run, []))


def judged() -> Report:
    return gate.run(**stage.arguments("gate", gate.run, []))


def promoted(version: int | str = "") -> Report:
    return promote.run(PromoteParams(keep=3), str(version))


def aliases() -> dict[str, int | None]:
    return {name: found.version if (found := registry.resolve(name)) else None for name in ("champion", "previous", "challenger")}


def artifact(version: int, name: str) -> Path:
    (home,) = settings().artifacts.rglob(registry.get(version).source.removeprefix("models:/"))
    return home / "artifacts" / name


def two(platform: Settings, folder: Path) -> tuple[int, int]:
    """Two versions, and a copy of their artifacts beside them. Nothing is judged or promoted."""
    with connected(platform) as patch:
        numbers = [registered(folder / f"run-{seed}", patch, seed).result["version"] for seed in (5, 6)]
        for number in numbers:
            home = artifact(number, "model.onnx").parent
            shutil.copytree(home, home.with_name("pristine"))
    return numbers[0], numbers[1]


def ready(champion: int, challenger: int) -> None:
    """Artifacts as registered; the champion serves and has no predecessor; the gate let the challenger pass against it."""
    for number in (champion, challenger):
        home = artifact(number, "card.md").parent
        shutil.rmtree(home)
        shutil.copytree(home.with_name("pristine"), home)
        forget(number)
        registry.tag(number, {"promoted_at": "earlier"} if number == champion else passed(champion))
    promoted(champion)
    if registry.resolve(registry.PREVIOUS):
        registry.drop(registry.PREVIOUS)
    model = settings().model_name
    forget(challenger)
    registry.tag(challenger, passed(champion))
    shutil.rmtree(repository.home(model) / str(challenger), ignore_errors=True)
    assert journal.unfinished(model) == []


def forget(version: int) -> None:
    """What gate, review, override and promotions have said of it."""
    said = ("gate.", "review.", "override.", "promoted_at", "rolled_back_at")
    registry.untag(version, [key for key in registry.get(version).tags if key.startswith(said)])


def passed(champion: int | None) -> dict[str, str]:
    """The gate's yes."""
    return {"gate.verdict": "yes", "gate.champion": str(champion or "none")}


def request(version: int) -> Request:
    """Some of a version's golden sessions, with every input that it reads."""
    return take(read_golden(artifact(version, "golden.json"))[0], slice(4))


def truth(versions: tuple[int, int], asked: Request) -> dict[int, Answers]:
    """Version -> its answers, by the file."""
    return {number: Graph(artifact(number, "model.onnx")).ask(asked) for number in versions}


def champion_serves(version: int) -> None:
    """Registry, configuration and server say the same, no half of anything lies about, no change is open."""
    model = settings().model_name
    assert aliases()["champion"] == version
    assert Client().recommend(SESSION)[0].version == version
    assert Server().versions(model) == [version]
    assert repository.pinned(model) == version
    assert not repository.staging().exists()
    for number in repository.numbers(model):
        assert number == version or repository.promoted(model, number), f"version {number} was left half published"
        assert repository.whole(model, number, registry.get(number).hashes)
    assert [
        one.name for one in repository.home(model).iterdir() if one.name.startswith(".") and one.name != repository.BEFORE
    ] == []


def last_change() -> dict[str, object]:
    """The youngest note of the journal."""
    found: dict[str, object] = json.loads(journal.paths()[-1].read_text())
    return found


def same(expected: Answers, got: Answers) -> bool:
    return not bool(np.any(differences(expected, got)[0]))
