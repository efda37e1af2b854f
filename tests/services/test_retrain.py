"""One DAG run to a Triton answer: real MLflow, Airflow and Triton on free ports, as `make demo` does it."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from infra.local.airflow_api import Airflow

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

SMALL = {
    "events.simulate.num_events": 30_000,
    "events.simulate.num_items": 500,
    "events.simulate.days": 6,
    "train.max_epochs": 2,
    "gate.review": "auto",
    "gate.max_p95_ms": 1000,
}


@dataclass
class Platform:
    """A platform of its own: state in a temporary folder, environments shared with the project."""

    env: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", *words), cwd=ROOT, env=self.env, capture_output=True, text=True, check=False, timeout=600
        )

    def airflow(self) -> Airflow:
        passwords = json.loads((Path(self.env["NEXTCLICK_VAR"]) / "airflow" / "passwords.json").read_text())
        return Airflow(f"http://127.0.0.1:{self.env['NEXTCLICK_AIRFLOW_PORT']}", "admin", passwords["admin"])

    def served(self) -> int:
        """The version that Triton answers with."""
        url = f"http://127.0.0.1:{self.env['NEXTCLICK_TRITON_HTTP_PORT']}/v2/models/session_next_item"
        (version,) = httpx.get(url).json()["versions"]
        return int(version)

    def demo(self, **settings: object) -> str:
        pairs = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
        done = self.run("infra.local", "demo", *pairs)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("platform")
    names = ("MLFLOW", "AIRFLOW", "TRITON_HTTP", "TRITON_GRPC", "TRITON_METRICS")
    ports = {f"NEXTCLICK_{name}_PORT": str(port) for name, port in zip(names, free_ports(len(names)), strict=True)}
    folders = {"NEXTCLICK_VAR": str(home / "var"), "NEXTCLICK_MLRUNS": str(home / "mlruns"), "COLUMNS": "200"}
    here = Platform({**os.environ, **ports, **folders})
    try:
        yield here
    finally:
        down = here.run("infra.local", "down")
        assert down.returncode == 0, down.stdout + down.stderr
        subprocess.run(("git", "worktree", "prune"), cwd=ROOT, check=False)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def first(platform: Platform) -> str:
    return platform.demo(**SMALL)


def test_a_run_ends_with_recommendations(first: str) -> None:
    assert "run success" in first
    assert "decision: yes" in first
    assert first.count("came next") >= 3
    assert len(re.findall(r"recommended", first)) == 15


def test_triton_serves_the_registered_version(first: str, platform: Platform) -> None:
    url = f"http://127.0.0.1:{platform.env['NEXTCLICK_TRITON_HTTP_PORT']}/v2/models/session_next_item"
    assert httpx.get(f"{url}/versions/1/ready").status_code == 200
    outputs = {output["name"] for output in httpx.get(url).json()["outputs"]}
    assert outputs == {"next_item_ids", "scores", "fallback"}


def test_every_row_is_accounted_for(first: str) -> None:
    (validate,) = [line for line in first.splitlines() if line.strip().startswith("validate ")]
    assert "nothing changed" not in validate
    assert "quarantine" in validate


def test_the_pages_of_the_run_are_there(first: str, platform: Platform) -> None:
    for page in re.findall(r"http://\S+/pages/\S+", first):
        assert httpx.get(page).status_code == 200, page


def test_the_same_window_again_skips_what_has_not_changed(first: str, platform: Platform) -> None:
    second = platform.demo(**SMALL)
    skipped = [line.split()[0] for line in second.splitlines() if "skipped by DVC" in line]
    assert {"events", "validate"} <= set(skipped)
    assert skipped.count("train") == len(yaml.safe_load((ROOT / "params.yaml").read_text())["models"])


def test_a_person_approves_and_the_registry_knows_who(first: str, platform: Platform) -> None:
    airflow = platform.airflow()
    before = platform.served()
    run = airflow.trigger("retrain", {**SMALL, "gate.review": "manual"})
    path = f"/api/v2/dags/retrain/dagRuns/{run}/taskInstances/review/-1/hitlDetails"
    review = until(lambda: next((t for t in airflow.tasks("retrain", run) if t["task_id"] == "review"), {}), "awaiting_input")
    assert "beats_session_popularity" in airflow.call("GET", path)["body"]
    assert review["state"] == "awaiting_input"
    assert platform.served() == before
    time.sleep(5)  # as a person would: Airflow loses an answer that comes before its scheduler has seen the task park
    answer = {"chosen_options": ["Approve"], "params_input": {"comment": "looks right"}}
    airflow.call("PATCH", path, json=answer)
    until(lambda: {"state": airflow.state("retrain", run)}, "success")
    assert platform.served() == before + 1
    uri = f"http://127.0.0.1:{platform.env['NEXTCLICK_MLFLOW_PORT']}/api/2.0/mlflow/registered-models/alias"
    found = httpx.get(uri, params={"name": "session_next_item", "alias": "champion"}).json()["model_version"]
    tags = {tag["key"]: tag["value"] for tag in found["tags"]}
    assert int(found["version"]) == before + 1
    assert (tags["review.by"], tags["review.comment"]) == ("admin", "looks right")


def until(ask: Callable[[], dict[str, Any]], state: str, seconds: float = 300) -> dict[str, Any]:
    """Ask until the state is reached; a failed one ends it."""
    end = time.monotonic() + seconds
    while (found := ask()).get("state") != state:
        assert found.get("state") not in ("failed", "upstream_failed"), found
        assert time.monotonic() < end, found
        time.sleep(1)
    return found


def test_a_wrong_value_is_refused_by_the_form(first: str, platform: Platform) -> None:
    done = platform.run("infra.local", "demo", "--set", "split.test_days=0")
    assert done.returncode == 1
    assert "split.test_days" in done.stdout + done.stderr
