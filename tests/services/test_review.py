"""The review from both sides: real Airflow, MLflow and Triton, the DAGs promote, override and rollback, no training.

The tests build on each other, in order: each one starts with the champion that the one before has left.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.local import up
from pipelines import stage
from pipelines.serve.client import Client
from pipelines.stores.settings import settings
from tests.pipelines import run_folder
from tests.services.platform import MODEL, Platform, temporary, until

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

ENDED = ("success", "failed")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Three versions are registered and judged; version 3 is one that the gate refused."""
    home = tmp_path_factory.mktemp("platform")
    with temporary(home) as here, pytest.MonkeyPatch.context() as patch:
        for name, value in here.env.items():
            if name.startswith("NEXTCLICK_"):
                patch.setenv(name, value)
        settings.cache_clear()
        up.up(settings(), print)
        patch.setenv("NEXTCLICK_MLFLOW_URI", here.url("MLFLOW"))
        settings.cache_clear()
        for seed in (1, 2, 3):
            folder = tmp_path_factory.mktemp("run") / "folder"
            run_folder.make(folder, seed)
            patch.chdir(folder)
            assert stage.main(["register"]) == stage.main(["gate"]) == stage.DONE
        here.set_tag(3, "gate.verdict", "no")
        here.set_tag(3, "gate.refused", "coverage_holds")
        versions = home / "var" / "versions.json"
        until(lambda: versions.exists() and versions.read_text(), lambda text: text and "gate no" in text)
        here.airflow().wait_for_dag("promote")
        listed = "/api/v2/dags/promote/details"
        until(lambda: here.airflow().call("GET", listed)["params"]["version"], lambda field: field.get("schema", {}).get("enum"))
        yield here
    settings.cache_clear()


def asked(platform: Platform, version: int, hours: float = 1.0) -> str:
    """A run of promote that waits for an answer."""
    airflow = platform.airflow("reviewer")
    run = airflow.trigger("promote", {"version": version, "review.hours": hours})
    until(lambda: (airflow.state("promote", run), airflow.task_state("promote", run, "review")), waits_or_failed)
    assert airflow.task_state("promote", run, "review") == "awaiting_input"
    time.sleep(3)  # as a person would: Airflow loses an answer that comes before its scheduler has seen the task park
    return run


def waits_or_failed(seen: tuple[str, str | None]) -> bool:
    return seen[0] in ENDED or seen[1] == "awaiting_input"


def ended(platform: Platform, run: str, dag: str = "promote") -> dict[str, str]:
    """State of each task once the run is over."""
    airflow = platform.airflow()
    until(lambda: airflow.state(dag, run), lambda state: state in ENDED)
    return {task["task_id"]: task["state"] for task in airflow.tasks(dag, run)}


def test_approved_in_airflow_the_registry_knows_who_when_and_why(platform: Platform) -> None:
    run = asked(platform, 1)
    assert "beats_session_popularity" in body(platform, run)
    assert "required_actions" in platform.tags(1)["review.how"]
    assert platform.airflow("reviewer").answer("promote", run, "review", "Approve", {"why": "looks right"})
    assert ended(platform, run)["promote"] == "success"
    tags = platform.tags(1)
    assert (tags["review"], tags["review.answer"], tags["review.side"]) == ("approved", "approved", "Airflow")
    assert (tags["review.by"], tags["review.why"]) == ("reviewer", "looks right")
    assert tags["review.at"].startswith("20")
    assert "review.how" not in tags
    assert (platform.alias("champion"), platform.served()) == (1, 1)


def test_the_second_answer_is_told_that_it_came_too_late(platform: Platform) -> None:
    platform.set_tag(1, "review", "rejected: I was not asked")
    tags = until(lambda: platform.tags(1), lambda tags: "review.told" in tags, seconds=20)
    assert tags["review.told"].startswith("too late: rejected does not count, the version was approved by reviewer")
    assert tags["review"] == "approved"
    assert platform.alias("champion") == 1


def test_approved_in_mlflow_the_run_goes_on(platform: Platform) -> None:
    platform.set_tag(2, "gate.champion", "1")
    run = asked(platform, 2)
    platform.set_tag(2, "review.by", "ann")
    begin = time.monotonic()
    platform.set_tag(2, "review", "approved")
    airflow = platform.airflow()
    until(lambda: airflow.task_state("promote", run, "review"), lambda state: state == "success", seconds=30)
    print(f"the waiting run saw the tag after {time.monotonic() - begin:.1f} s")
    assert not airflow.answer("promote", run, "review", "Reject", {"why": "too late here"})  # Airflow tells the second itself
    assert ended(platform, run)["promote"] == "success"
    tags = platform.tags(2)
    assert (tags["review.answer"], tags["review.by"], tags["review.side"]) == ("approved", "ann", "MLflow")
    assert (platform.alias("champion"), platform.alias("previous"), platform.served()) == (2, 1, 2)


def test_a_rejection_in_mlflow_needs_a_reason(platform: Platform) -> None:
    run = asked(platform, 1)
    platform.set_tag(1, "review", "rejected")
    tags = until(lambda: platform.tags(1), lambda tags: "review.told" in tags, seconds=20)
    assert tags["review.told"].startswith("a rejection needs a reason")
    assert "review" not in tags
    assert platform.airflow().task_state("promote", run, "review") == "awaiting_input"
    platform.set_tag(1, "review", "rejected: the lists look odd")
    states = ended(platform, run)
    assert (states["review"], states["promote"]) == ("success", "skipped")
    tags = platform.tags(1)
    assert (tags["review.answer"], tags["review.why"]) == ("rejected", "the lists look odd")
    assert (platform.alias("champion"), platform.served()) == (2, 2)


def test_a_rejection_in_airflow_without_a_reason_is_asked_again_and_the_alias_approves(platform: Platform) -> None:
    run = asked(platform, 1)
    airflow = platform.airflow("reviewer")
    assert airflow.answer("promote", run, "review", "Reject", {"why": "  "})
    path = f"/api/v2/dags/promote/dagRuns/{run}/taskInstances/review/-1/hitlDetails"
    until(lambda: airflow.call("GET", path), lambda detail: not detail["response_received"], seconds=30)
    until(lambda: airflow.task_state("promote", run, "review"), lambda state: state == "awaiting_input", seconds=30)
    platform.mlflow("registered-models/alias", name=MODEL, alias="approved", version="1")
    assert ended(platform, run)["promote"] == "success"
    assert platform.tags(1)["review.side"] == "MLflow"
    assert (platform.alias("champion"), platform.alias("previous"), platform.served()) == (1, 2, 1)


def test_nobody_answers_in_time_and_the_champion_stays(platform: Platform) -> None:
    run = asked(platform, 2, hours=0.003)
    states = ended(platform, run)
    assert (states["review_close"], states["promote"]) == ("skipped", "skipped")
    tags = platform.tags(2)
    assert (tags["review"], tags["review.answer"], tags["review.by"]) == ("timed out", "timed out", "nobody")
    assert (platform.alias("champion"), platform.served()) == (1, 1)


def test_a_refused_version_cannot_be_approved_from_either_side(platform: Platform) -> None:
    platform.set_tag(3, "review", "approved")
    tags = until(lambda: platform.tags(3), lambda tags: "review.told" in tags, seconds=20)
    assert "not let this version pass (coverage_holds)" in tags["review.told"]
    assert "review" not in tags
    airflow = platform.airflow()
    run = airflow.trigger("promote", {"version": 3})
    log = until(lambda: refused(platform, run), bool)
    assert "version 3 may not be promoted: gate.verdict is 'no'" in log
    airflow.call("PATCH", f"/api/v2/dags/promote/dagRuns/{run}", json={"state": "failed"})  # its second try says the same
    assert (platform.alias("champion"), platform.served()) == (1, 1)


def refused(platform: Platform, run: str) -> str:
    """The log of the task that says no, once it has tried."""
    airflow = platform.airflow()
    (task,) = [task for task in airflow.tasks("promote", run) if task["task_id"] == "review_open"]
    return "\n".join(airflow.log("promote", run, task)) if task["state"] in ("up_for_retry", "failed") else ""


def test_an_override_is_named_and_then_the_version_is_reviewed_like_any_other(platform: Platform) -> None:
    airflow = platform.airflow("reviewer")
    airflow.wait_for_dag("override")
    reason = "a measuring fault; $(touch $NEXTCLICK_VAR/owned) was seen by ann"
    run = airflow.trigger("override", {"version": 3, "reason": reason})
    assert ended(platform, run, "override")["override"] == "success"
    tags = platform.tags(3)
    assert (tags["override.by"], tags["override.why"]) == ("reviewer", reason)
    assert not (Path(platform.env["NEXTCLICK_VAR"]) / "owned").exists()
    asking = asked(platform, 3)
    assert "Overridden by reviewer" in body(platform, asking)
    assert airflow.answer("promote", asking, "review", "Approve", {"why": None})
    assert ended(platform, asking)["promote"] == "success"
    assert (platform.alias("champion"), platform.served()) == (3, 3)


def test_one_click_brings_the_previous_one_back(platform: Platform) -> None:
    airflow = platform.airflow("reviewer")
    airflow.wait_for_dag("rollback")
    run = airflow.trigger("rollback", {})
    assert ended(platform, run, "rollback")["rollback"] == "success"
    assert (platform.alias("champion"), platform.alias("previous"), platform.served()) == (1, 3, 1)


def test_a_dead_backend_process_is_found_and_started_again(platform: Platform) -> None:
    """Triton calls itself ready all the while."""
    mine = str(Path(platform.env["NEXTCLICK_VAR"]) / "triton")
    stubs = [process for process in psutil.process_iter(["cmdline"]) if is_stub(process.info["cmdline"] or [], mine)]
    assert stubs
    for stub in stubs:
        stub.kill()
    log = Path(platform.env["NEXTCLICK_VAR"]) / "log" / "watch.log"
    until(log.read_text, lambda text: f"{MODEL} did not answer" in text and "it was loaded again" in text, seconds=60)
    assert Client(f"127.0.0.1:{platform.env['NEXTCLICK_TRITON_HTTP_PORT']}").recommend([[1]])[0].version == platform.alias(
        "champion"
    )


def is_stub(command: list[str], folder: str) -> bool:
    return bool(command) and "triton_python_backend_stub" in command[0] and any(folder in word for word in command)


def body(platform: Platform, run: str) -> str:
    path = f"/api/v2/dags/promote/dagRuns/{run}/taskInstances/review/-1/hitlDetails"
    return str(platform.airflow().call("GET", path)["body"])
