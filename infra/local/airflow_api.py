"""Airflow's REST API, as far as the platform needs it: trigger a DAG, follow its run, read logs and results."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from pipelines.errors import ParamsError, ServiceError

FINISHED = {"success", "failed", "skipped", "upstream_failed", "removed"}


@dataclass
class Airflow:
    """A logged-in client. ServiceError if Airflow does not answer, with the way to start it."""

    url: str
    user: str
    password: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False))
    token: str = ""

    def call(self, method: str, path: str, missing: int = 0, **arguments: Any) -> Any:
        """JSON of an answer; a new token is asked for when the old one is refused. missing: the status that means None."""
        try:
            answer = self._ask(method, path, arguments)
            if answer.status_code == 401:
                self.token = ""
                answer = self._ask(method, path, arguments)
        except httpx.TransportError as error:
            next_step = "`make status` shows it, `make up` starts it"
            raise ServiceError(f"Airflow does not answer: {error}", self.url, next_step) from None
        if missing and answer.status_code == missing:
            return None
        if answer.status_code in (400, 422):
            raise ParamsError("Airflow refused the values", f"{method} {path}: {answer.text}", "correct the value it names")
        if answer.is_error:
            raise ServiceError(f"Airflow says {answer.status_code}", f"{method} {path}: {answer.text[:500]}", "make status")
        return answer.json() if answer.content else None

    def _ask(self, method: str, path: str, arguments: dict[str, Any]) -> httpx.Response:
        if not self.token:
            login = self.http.post(f"{self.url}/auth/token", json={"username": self.user, "password": self.password})
            if login.is_error:
                return login
            self.token = login.json()["access_token"]
        return self.http.request(method, f"{self.url}{path}", headers={"Authorization": f"Bearer {self.token}"}, **arguments)

    def wait_for_dag(self, dag: str, seconds: float = 90) -> None:
        """Until the DAG file has been read; its import error is shown if it has one."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            errors = self.call("GET", "/api/v2/importErrors")["import_errors"]
            if errors:
                raise ServiceError("a DAG file cannot be read", errors[0]["filename"], errors[0]["stack_trace"].strip()[-1500:])
            found = self.call("GET", "/api/v2/dags", params={"dag_id_pattern": dag})["dags"]
            if any(one["dag_id"] == dag for one in found):
                return
            time.sleep(0.5)
        raise ServiceError(
            f"Airflow has not read the DAG {dag!r} in {seconds:.0f} s", self.url, "see var/log for the dag-processor's log"
        )

    def trigger(self, dag: str, values: dict[str, Any]) -> str:
        """Unpause the DAG and start a run; returns the run's id."""
        self.call("PATCH", f"/api/v2/dags/{dag}", params={"update_mask": "is_paused"}, json={"is_paused": False})
        body = {"logical_date": None, "conf": values}
        return str(self.call("POST", f"/api/v2/dags/{dag}/dagRuns", json=body)["dag_run_id"])

    def state(self, dag: str, run: str) -> str:
        return str(self.call("GET", _path(dag, run))["state"])

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Task instances, mapped ones each by itself."""
        path = f"{_path(dag, run)}/taskInstances"
        found = self.call("GET", path, missing=404, params={"limit": 100})
        return list(found["task_instances"]) if found else []

    def task(self, dag: str, run: str, task: str) -> dict[str, Any] | None:
        """None for a run that is not there any more."""
        return next((one for one in self.tasks(dag, run) if one["task_id"] == task), None)

    def task_state(self, dag: str, run: str, task: str) -> str | None:
        """None as long as it is not scheduled."""
        found = self.task(dag, run, task)
        return str(found["state"]) if found and found["state"] else None

    def answer(self, dag: str, run: str, task: str, option: str, given: dict[str, Any]) -> bool:
        """Answer an approval that waits; given: its form's fields. False if somebody has answered it already."""
        path = f"{_path(dag, run)}/taskInstances/{task}/-1/hitlDetails"
        return self.call("PATCH", path, missing=409, json={"chosen_options": [option], "params_input": given}) is not None

    def report(self, dag: str, run: str, task: dict[str, Any]) -> dict[str, Any]:
        """The JSON report a task ended with; empty if it has none."""
        path = f"{_path(dag, run)}/taskInstances/{task['task_id']}/xcomEntries/return_value"
        try:
            value = self.call("GET", path, params={"map_index": task["map_index"], "deserialize": True})["value"]
        except ServiceError:
            return {}
        value = json.loads(value) if isinstance(value, str) else value
        return value if isinstance(value, dict) else {}

    def log(self, dag: str, run: str, task: dict[str, Any]) -> list[str]:
        """Lines of a task's latest log."""
        path = f"{_path(dag, run)}/taskInstances/{task['task_id']}/logs/{max(1, task['try_number'])}"
        content = self.call("GET", path, params={"map_index": task["map_index"], "full_content": True})["content"]
        return [str(event.get("event", event)) if isinstance(event, dict) else str(event) for event in content]


def _path(dag: str, run: str) -> str:
    """Of a run; the names may hold anything."""
    return f"/api/v2/dags/{quote(dag, safe='')}/dagRuns/{quote(run, safe='')}"
