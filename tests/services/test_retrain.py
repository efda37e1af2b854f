"""From raw clicks to Triton's answer, twice, and by a person's hands: real MLflow, Airflow and Triton, as `make demo` does it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.services import browser
from tests.services.browser import Browser
from tests.services.platform import MODEL, Platform, temporary, until

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

SMALL = {
    "events.simulate.num_events": 30_000,
    "events.simulate.num_items": 500,
    "events.simulate.days": 8,  # and 7: enough of them for a split by days, so that the second training learns from newer ones
    "train.max_epochs": 2,
    "gate.max_p50_ms": 1000,
    "gate.max_p95_ms": 1000,
    "gate.max_latency_ratio": 20,  # a machine that runs other tests meanwhile
}
FLOORS = ("session_knn", "session_popularity")
FEW = {"models": ["gru4rec", *FLOORS]}
"""What the demo trains here, to be quick."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with temporary(tmp_path_factory.mktemp("platform")) as here:
        yield here


@pytest.fixture(scope="module")
def demo(platform: Platform) -> str:
    """What `make demo` prints."""
    pairs = [word for key, value in {**SMALL, **FEW}.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    done = platform.run("infra.local", "demo", *pairs)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


def test_two_trainings_end_with_recommendations(demo: str) -> None:
    assert demo.count("run success") == 2
    assert demo.count("decision: yes") == 2
    assert demo.count("came next") >= 3
    assert len(re.findall(r"recommended", demo)) == 15


def test_the_second_training_is_judged_against_the_first(demo: str, platform: Platform) -> None:
    first, _, second = demo.partition("a second training")
    assert "no champion yet" in first
    assert re.search(r"MRR@20 0\.\d+, [+-]\d+\.\d% to version 1", second)
    assert platform.tags(2)["gate.champion"] == "1"
    assert (platform.alias("champion"), platform.alias("previous"), platform.served()) == (2, 1, 2)


def test_triton_names_its_outputs(demo: str, platform: Platform) -> None:
    outputs = httpx.get(f"{platform.url('TRITON_HTTP')}/v2/models/{MODEL}").json()["outputs"]
    assert {output["name"] for output in outputs} == {"next_item_ids", "scores", "fallback"}


def test_every_row_is_accounted_for(demo: str) -> None:
    for line in [line for line in demo.splitlines() if line.strip().startswith("validate ")]:
        assert "nothing changed" not in line
        assert "quarantine" in line


def test_the_pages_of_the_run_are_there(demo: str) -> None:
    pages = re.findall(r"http://\S+/pages/\S+", demo)
    assert len(pages) >= 2
    for page in pages:
        assert httpx.get(page).status_code == 200, page


@pytest.fixture(scope="module")
def person(demo: str, platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.opened(platform, tmp_path_factory.mktemp("pictures")) as window:
        window.log_in()
        yield window


def test_a_person_triggers_the_dag_and_answers_the_approval(person: Browser, platform: Platform) -> None:
    """The window is that of the second training: what has not changed is skipped."""
    person.trigger("retrain", **SMALL, **{"gate.review": "manual"})
    airflow = platform.airflow()
    runs = airflow.call("GET", "/api/v2/dags/retrain/dagRuns", params={"order_by": "-run_after"})["dag_runs"]
    run = runs[0]["dag_run_id"]
    until(lambda: (airflow.state("retrain", run), airflow.task_state("retrain", run, "review")), waits_or_failed, seconds=400)
    assert airflow.task_state("retrain", run, "review") == "awaiting_input"
    assert platform.served() == 2
    skipped = [task for task in airflow.tasks("retrain", run) if unchanged(platform, run, task)]
    assert {"events", "validate"} <= {task["task_id"] for task in skipped}
    assert set(FLOORS) <= {task["rendered_map_index"] for task in skipped if task["task_id"] == "train"}
    person.page.wait_for_timeout(3000)  # Airflow loses an answer that comes before its scheduler has seen the task park
    person.answer("Approve", "as good as the one before")
    until(lambda: airflow.state("retrain", run), lambda state: state in ("success", "failed"))
    assert platform.served() == platform.alias("champion") == 3
    tags = platform.tags(3)
    assert (tags["review.by"], tags["review.why"], tags["review.side"]) == ("reviewer", "as good as the one before", "Airflow")


def waits_or_failed(seen: tuple[str, str | None]) -> bool:
    return seen[0] in ("success", "failed") or seen[1] == "awaiting_input"


def unchanged(platform: Platform, run: str, task: dict[str, object]) -> bool:
    report = platform.airflow().report("retrain", run, task)
    return report.get("result", {}).get("changed") is False


def test_the_version_has_card_plots_and_decision_in_mlflow(person: Browser, platform: Platform) -> None:
    page = person.version(3)
    for heading in ("Decision", "next item of a session"):
        assert page.get_by_role("heading", name=re.compile(heading)).first.is_visible(), heading
    person.keep("mlflow_version")
    page.get_by_text("Description").first.click()
    assert page.get_by_text("gate.verdict").first.is_visible()
    person.keep("mlflow_tags")
    run = platform.mlflow("model-versions/get", params={"name": MODEL, "version": "3"})["model_version"]["run_id"]
    experiment = platform.mlflow("runs/get", params={"run_id": run})["run"]["info"]["experiment_id"]
    page.goto(f"{platform.url('MLFLOW')}/#/experiments/{experiment}/runs/{run}/artifacts/gate/version-3/decision.md")
    person.keep("mlflow_decision")
    files = platform.mlflow("artifacts/list", params={"run_id": run, "path": "gate/version-3"})["files"]
    assert {Path(file["path"]).name for file in files} >= {"decision.md", "decision.json"}
    assert any(file["path"].endswith(".png") for file in files)


def test_a_wrong_value_is_refused_by_the_form(demo: str, platform: Platform) -> None:
    done = platform.run("infra.local", "demo", "--set", "split.test_days=0")
    assert done.returncode == 1
    assert "split.test_days" in done.stdout + done.stderr
