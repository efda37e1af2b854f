"""Triton or MLflow away, slow, deaf or restarted in the middle; two publishers at once; a clock that jumps."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from infra.local import services
from pipelines import rollback
from pipelines.errors import DataError
from pipelines.stores import journal, publication, registry
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server
from tests.faults.conftest import WHOLE, Platform, server
from tests.faults.driver import Fault
from tests.faults.proxy import Wire
from tests.pipelines.publishing import aliases, champion_serves, passed, promoted


@pytest.fixture(scope="module")
def mlflow(platform: Platform) -> Iterator[Wire]:
    """A real MLflow server on the same registry, behind a wire."""
    ours = platform.settings
    environment = services.environment(ours)
    log = (ours.var / "mlflow.log").open("wb")
    process = subprocess.Popen(services.mlflow(ours), env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                if httpx.get(f"{ours.mlflow_url}/health", timeout=2).is_success:
                    break
            except httpx.HTTPError:
                assert process.poll() is None, (ours.var / "mlflow.log").read_text()[-2000:]
                assert time.monotonic() < deadline, "MLflow does not start"
            time.sleep(0.2)
        yield Wire(ours.mlflow_port)
    finally:
        family = [*psutil.Process(process.pid).children(recursive=True), process]
        for one in family:
            one.kill()
        process.wait()
        log.close()


def uri(wire: Wire) -> str:
    return f"http://127.0.0.1:{wire.port}"


@pytest.mark.parametrize("step", ["stage", "ask", "champion"] if WHOLE else ["champion"])
def test_mlflow_goes_down_before_the_alias(platform: Platform, ready: tuple[int, int], mlflow: Wire, step: str) -> None:
    champion, challenger = ready
    publisher = platform.publisher("promote", challenger, Fault(pause=step), NEXTCLICK_MLFLOW_URI=uri(mlflow))
    assert publisher.paused() == step
    mlflow.cut()
    publisher.go_on()
    ended = publisher.ended()
    mlflow.mend()
    assert ended.word == "ServiceError"
    assert "MLflow does not answer" in ended.said
    assert platform.served() == champion
    assert aliases()["champion"] == champion
    assert platform.publisher("promote", challenger, NEXTCLICK_MLFLOW_URI=uri(mlflow)).ended().word == "done"
    champion_serves(challenger)
    assert aliases()["previous"] == champion


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_mlflow_goes_down_after_the_alias(platform: Platform, ready: tuple[int, int], mlflow: Wire, action: str) -> None:
    """The new champion is served and stays; what is missing is said, and the same run again only finishes it."""
    old, new = ready
    if action == "rollback":
        promoted(new)
        old, new = new, old
    word = new if action == "promote" else ""
    publisher = platform.publisher(action, word, Fault(pause="tags"), NEXTCLICK_MLFLOW_URI=uri(mlflow))
    publisher.paused()
    mlflow.cut()
    publisher.go_on()
    ended = publisher.ended()
    mlflow.mend()
    assert ended.word == "ServiceError"
    assert f"version {new} is champion and served, but the {action} is not finished" in ended.said
    assert platform.served() == new
    again = platform.publisher(action, word, NEXTCLICK_MLFLOW_URI=uri(mlflow)).ended()
    assert (again.word, again.said) == ("done", new)
    champion_serves(new)
    assert aliases()["previous"] == old
    assert ("promoted_at" in registry.get(new).tags) if action == "promote" else ("rolled_back_at" in registry.get(old).tags)


def test_mlflow_down_from_the_start(platform: Platform, ready: tuple[int, int]) -> None:
    champion, challenger = ready
    ended = platform.publisher("promote", challenger, NEXTCLICK_MLFLOW_URI="http://127.0.0.1:9").ended()
    assert ended.word == "ServiceError"
    assert ended.seconds < 10
    champion_serves(champion)


def test_triton_down_from_the_start(platform: Platform, ready: tuple[int, int]) -> None:
    """Nothing is changed, neither in the registry nor in the repository."""
    champion, challenger = ready
    ended = platform.publisher("promote", challenger, NEXTCLICK_TRITON_HTTP_PORT="9").ended()
    assert ended.word == "ServiceError"
    assert "Triton does not answer" in ended.said
    champion_serves(champion)
    promoted(challenger)
    champion_serves(challenger)


@pytest.mark.parametrize("step", ["stage", "load", "ask", "champion"] if WHOLE else ["load", "champion"])
def test_triton_is_killed_and_started_again_midway(platform: Platform, ready: tuple[int, int], step: str) -> None:
    """The new server takes what the configuration says; the publisher goes on with it, or gives up and all is as before."""
    challenger = ready[1]
    publisher = platform.publisher("promote", challenger, Fault(pause=step))
    publisher.paused()
    platform.stop()
    platform.start()
    publisher.go_on()
    ended = publisher.ended()
    assert ended.word in ("done", "ServiceError"), ended
    platform.served()
    promoted(challenger)
    champion_serves(challenger)


@pytest.mark.parametrize("step", ["load", "ask"])
def test_triton_goes_down_midway_and_stays_away(platform: Platform, ready: tuple[int, int], step: str) -> None:
    """The alias stays; when Triton comes back it serves the champion."""
    champion, challenger = ready
    publisher = platform.publisher("promote", challenger, Fault(pause=step))
    publisher.paused()
    platform.stop()
    publisher.go_on()
    ended = publisher.ended()
    assert ended.word == "ServiceError"
    assert aliases()["champion"] == champion
    platform.start()
    assert platform.served() == champion
    promoted(challenger)
    champion_serves(challenger)


def test_a_slow_triton_is_waited_for(platform: Platform, ready: tuple[int, int]) -> None:
    challenger = ready[1]
    wire = Wire(platform.settings.triton_http_port)
    wire.delay_s = 0.5
    ended = platform.publisher("promote", challenger, NEXTCLICK_TRITON_HTTP_PORT=str(wire.port)).ended()
    wire.cut()
    assert ended.word == "done", ended
    assert ended.seconds > 2
    champion_serves(challenger)


def test_a_triton_that_falls_silent_is_given_up(platform: Platform, ready: tuple[int, int]) -> None:
    """It takes the connection and says nothing: an error within the time limits (here of seconds), the champion serves."""
    champion, challenger = ready
    wire = Wire(platform.settings.triton_http_port)
    quick = Fault(pause="load", settings={"TIMEOUT_S": 1.0, "LOAD_TIMEOUT_S": 1.5})
    publisher = platform.publisher("promote", challenger, quick, NEXTCLICK_TRITON_HTTP_PORT=str(wire.port))
    publisher.paused()
    wire.deaf = True
    publisher.go_on()
    ended = publisher.ended()
    wire.deaf = False
    wire.cut()
    assert ended.word == "ServiceError"
    assert aliases()["champion"] == champion
    platform.served()
    promoted(challenger)
    champion_serves(challenger)


def test_two_promotions_at_once(platform: Platform, ready: tuple[int, int]) -> None:
    """The second waits for the first, and sees what it has done."""
    champion, challenger = ready
    first = platform.publisher("promote", challenger, Fault(pause="load"))
    first.paused()
    second = platform.publisher("promote", challenger)
    time.sleep(1)
    assert platform.served() == champion
    first.go_on()
    assert [one.ended().word for one in (first, second)] == ["done", "done"]
    champion_serves(challenger)
    assert aliases()["previous"] == champion


def test_a_promotion_and_a_rollback_at_once(platform: Platform, ready: tuple[int, int]) -> None:
    champion, challenger = ready
    publishers = [platform.publisher("promote", challenger), platform.publisher("rollback")]
    words = [one.ended().word for one in publishers]
    assert words[0] == "done"
    assert words[1] in ("done", "DataError")  # it came first, and there was nothing to go back to
    champion_serves(champion if words[1] == "done" else challenger)


@pytest.mark.parametrize("step", ["begin", "champion"])
def test_the_alias_is_moved_by_hand_meanwhile(platform: Platform, ready: tuple[int, int], step: str) -> None:
    """Somebody moves it on MLflow's page: the promotion changes nothing, and the next run serves what the page says."""
    champion, challenger = ready
    publisher = platform.publisher("promote", challenger, Fault(pause=step))
    publisher.paused()
    registry.move(registry.CHAMPION, challenger)
    publisher.go_on()
    ended = publisher.ended()
    assert ended.word == "DataError"
    assert f"the alias champion points to version {challenger}, not to version {champion}" in ended.said
    promoted(challenger)
    champion_serves(challenger)
    assert journal.unfinished(settings().model_name) == []


def test_a_verdict_against_a_champion_of_before_needs_an_override(platform: Platform, ready: tuple[int, int]) -> None:
    champion, challenger = ready
    registry.tag(challenger, passed(challenger + 7))
    with pytest.raises(
        DataError, match=f"judged against version {challenger + 7}, the champion is version {champion}"
    ) as failure:
        promoted(challenger)
    assert "override" in failure.value.next_step
    champion_serves(champion)
    registry.tag(challenger, {"override.by": "ann", "override.why": "tried by hand"})
    promoted(challenger)
    champion_serves(challenger)


@pytest.mark.parametrize(
    "fault", [Fault(clock_jump="begin"), Fault(clock_jump="champion"), Fault(clock_jump="begin", die="after tags")]
)
def test_a_clock_that_jumps(platform: Platform, ready: tuple[int, int], fault: Fault) -> None:
    """Ten years back: notes are ordered by number, limits are measured on another clock."""
    champion, challenger = ready
    before = journal.paths()[-1].name
    assert platform.publisher("promote", challenger, fault).ended().word == ("killed" if fault.die else "done")
    assert journal.paths()[-1].name > before
    rollback.run()
    champion_serves(champion)
    assert aliases()["previous"] == challenger


def kill_backend(platform: Platform) -> None:
    """The processes in which Triton runs the model; the server itself goes on."""
    family = server(platform.settings).children(recursive=True)
    stubs = [one for one in family if "stub" in one.name() and one.status() != psutil.STATUS_ZOMBIE]
    assert stubs
    for one in stubs:
        one.kill()


def test_a_dead_backend_is_found_and_started_again(platform: Platform, ready: tuple[int, int]) -> None:
    """Triton goes on calling itself ready; only an inference shows it."""
    champion, _ = ready
    server, model = Server(), settings().model_name
    assert publication.revive(server) is None
    kill_backend(platform)
    base = f"http://127.0.0.1:{platform.settings.triton_http_port}/v2"
    assert httpx.get(f"{base}/models/{model}/ready").status_code == 200
    assert server.failure(model)
    assert "loaded again" in str(publication.revive(server))
    assert server.failure(model) is None
    assert platform.served() == champion
    assert publication.revive(server) is None


@pytest.mark.parametrize("action", ["promote", "rollback", "promote the champion"])
def test_a_dead_backend_is_no_obstacle_to_publishing(platform: Platform, ready: tuple[int, int], action: str) -> None:
    champion, challenger = ready
    if action == "rollback":
        promoted(challenger)
    kill_backend(platform)
    if action == "rollback":
        rollback.run()
        champion_serves(champion)
    else:
        wanted = champion if action == "promote the champion" else challenger
        promoted(wanted)
        champion_serves(wanted)


def test_looking_after_a_healthy_server_is_cheap_and_waits_for_nobody(platform: Platform, ready: tuple[int, int]) -> None:
    """It answers while a publisher holds the lock."""
    publisher = platform.publisher("promote", ready[1], Fault(pause="load"))
    publisher.paused()
    server = Server()
    publication.revive(server)
    begin = time.monotonic()
    for _ in range(10):
        assert publication.revive(server) is None
    assert (time.monotonic() - begin) / 10 < 0.25
    publisher.go_on()
    assert publisher.ended().word == "done"
