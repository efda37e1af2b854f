"""The process manager with services that cost nothing: what falls is counted, tried again within bounds, and leaves nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.local import crashes, ports, services, supervise, up
from infra.local.services import Service
from pipelines.errors import ServiceError
from pipelines.stores.settings import Settings

pytestmark = pytest.mark.services

BARE_CHILD = ("sh", "-c", "env -i sleep 701 & exec sleep 702")
"""Its child has lost its environment, as one has that gave itself a title."""
OWN_SESSION = ("sh", "-c", "setsid sleep 703 & exec sleep 704")
"""Its child has a session of its own, as a task's command has."""


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    listed = [
        Service("bare", BARE_CHILD, "", 5),
        Service("own", OWN_SESSION, "", 5),
        Service("falls", ("sh", "-c", "echo no such luck; exit 3"), "", 5),
    ]
    monkeypatch.setattr(services, "services", lambda _: listed)
    ours = Settings(**{**ports.chosen(), "var": tmp_path / "var with space", "mlruns": tmp_path})  # type: ignore[arg-type]
    supervise.start(ours, services.environment(ours))
    try:
        yield ours
    finally:
        supervise.end(ours)


def until(true: Callable[[], object], patience_s: float = 30) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def sleeping(settings: Settings) -> set[str]:
    """Seconds that the sleeps of this platform were given."""
    found = set()
    for process in supervise.processes(settings):
        try:
            command = process.cmdline()
        except psutil.NoSuchProcess:
            continue
        if command[:1] == ["sleep"]:
            found.add(command[1])
    return found


def pid(settings: Settings, name: str) -> int:
    return int(supervise.states(settings)[name]["pid"])


def test_nothing_starts_by_itself(platform: Settings) -> None:
    assert {info["statename"] for info in supervise.states(platform).values()} == {"STOPPED"}


def test_a_service_that_always_falls_is_given_up(platform: Settings) -> None:
    supervise.begin(platform, "falls")
    until(lambda: supervise.states(platform)["falls"]["statename"] == "FATAL")
    assert crashes.count(supervise.crashes(platform)) == {"falls": 1 + supervise.RETRIES}
    assert services.tail(services.log(platform, "falls"))[-1] == "no such luck"


@pytest.mark.parametrize(("name", "both"), [("bare", {"701", "702"}), ("own", {"703", "704"})])
def test_a_killed_service_takes_its_children_along_and_comes_back(platform: Settings, name: str, both: set[str]) -> None:
    supervise.begin(platform, name)
    until(lambda: sleeping(platform) == both)
    first = {process.pid for process in supervise.processes(platform) if process.name() == "sleep"}
    os.kill(pid(platform, name), signal.SIGKILL)
    until(lambda: not any(psutil.pid_exists(number) for number in first))
    until(lambda: sleeping(platform) == both)
    assert crashes.count(supervise.crashes(platform)) == {name: 1}


def test_down_ends_what_a_killed_process_manager_left(platform: Settings) -> None:
    for name in ("bare", "own"):
        supervise.begin(platform, name)
    until(lambda: sleeping(platform) == {"701", "702", "703", "704"})
    chief = int((supervise.home(platform) / "supervisord.pid").read_text())
    os.kill(chief, signal.SIGKILL)
    until(lambda: not supervise.running(platform))
    assert sleeping(platform) == {"701", "702", "703", "704"}
    with pytest.raises(ServiceError, match="an earlier platform has left processes behind"):
        up.check(platform)
    assert supervise.end(platform) >= 4
    assert supervise.processes(platform) == []
