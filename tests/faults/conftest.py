"""One platform for all faults: a real Triton, a real MLflow registry, two versions of a model that answer differently."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from infra.local import ports, triton
from pipelines.stores.answers import Answers, Request
from pipelines.stores.settings import Settings, settings
from pipelines.stores.triton import Server
from tests.faults import driver
from tests.faults.driver import Fault, Publisher
from tests.pipelines import publishing
from tests.pipelines.publishing import same

WHOLE = os.environ.get("NEXTCLICK_FAULTS") == "whole"
"""`make faults`: every case, and a hundred of each that is drawn by chance."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.services)


@dataclass
class Platform:
    """The services, and what the two versions answer."""

    settings: Settings
    versions: tuple[int, int]
    request: Request
    answers: dict[int, Answers]
    triton: AbstractContextManager[None] | None = None

    def publisher(self, action: str, version: int | str = "", fault: Fault | None = None, **environment: str) -> Publisher:
        """A process that publishes, with other addresses if given."""
        return Publisher({**publishing.environment(self.settings), **environment}, action, version, fault)

    def served(self) -> int:
        """The version that answers; its answers are those of its file."""
        got, version = Server().ask(self.settings.model_name, self.request)
        assert same(self.answers[version], got), f"a wrong answer in the name of version {version}"
        return version

    def start(self) -> None:
        self.triton = triton.running(self.settings)
        self.triton.__enter__()

    def stop(self) -> None:
        """Triton is killed, as by the kernel."""
        assert self.triton
        kill_triton(self.settings)
        self.triton.__exit__(None, None, None)
        self.triton = None


def server(settings: Settings) -> psutil.Process:
    """Triton itself; its backend processes have inherited the ports."""
    found = {psutil.Process(pid) for pid in ports.listeners(settings.triton_http_port)}
    (process,) = [one for one in found if one.name() == "tritonserver"]
    return process


def kill_triton(settings: Settings) -> None:
    """With its backends, so that the ports are free at once."""
    process = server(settings)
    family = [process, *process.children(recursive=True)]
    for one in family:
        one.kill()
    psutil.wait_procs(family[1:], timeout=10)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("faults")
    ours = Settings(var=folder / "var", mlruns=folder / "mlruns", **ports.chosen())  # type: ignore[arg-type]
    before = Path.cwd()
    os.chdir(driver.ROOT)  # where the publishers' server finds the code
    found = Platform(ours, (0, 0), {}, {})
    found.start()
    try:
        found.versions = publishing.two(ours, folder)
        with publishing.connected(ours):
            found.request = publishing.request(found.versions[0])
            found.answers = publishing.truth(found.versions, found.request)
        one, other = (found.answers[number] for number in found.versions)
        assert not np.array_equal(one.ids, other.ids)
        yield found
    finally:
        os.chdir(before)
        if found.triton:
            found.stop()


@pytest.fixture
def ready(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """The numbers of the champion, which serves and has no predecessor, and of a version that the gate let pass."""
    with publishing.connected(platform.settings):
        publishing.ready(*platform.versions)
        yield platform.versions
        settings.cache_clear()
