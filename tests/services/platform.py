"""A platform of a test's own: free ports, state in a temporary folder, environments shared with the project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from infra.local import ports
from infra.local.airflow_api import Airflow

ROOT = Path(__file__).resolve().parents[2]
MODEL = "session_next_item"


@dataclass
class Platform:
    """Where it is, and what is asked of it."""

    env: dict[str, str]

    def run(self, *words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """A module in the worker's environment."""
        return subprocess.run(
            (sys.executable, "-m", *words), cwd=cwd, env=self.env, capture_output=True, text=True, check=False, timeout=600
        )

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.env[f'NEXTCLICK_{service}_PORT']}"

    def password(self, user: str) -> str:
        path = Path(self.env["NEXTCLICK_VAR"]) / "airflow" / "passwords.json"
        return str(json.loads(path.read_text())[user])

    def airflow(self, user: str = "admin") -> Airflow:
        return Airflow(self.url("AIRFLOW"), user, self.password(user))

    def served(self) -> int:
        """The version that Triton answers with."""
        (version,) = httpx.get(f"{self.url('TRITON_HTTP')}/v2/models/{MODEL}").json()["versions"]
        return int(version)

    def mlflow(self, path: str, **values: Any) -> dict[str, Any]:
        """MLflow's REST interface: POST with a body, or GET with `params`."""
        url = f"{self.url('MLFLOW')}/api/2.0/mlflow/{path}"
        answer = httpx.get(url, params=values["params"]) if "params" in values else httpx.post(url, json=values)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def tags(self, version: int) -> dict[str, str]:
        """As they stand on the version's page."""
        found = self.mlflow("model-versions/get", params={"name": MODEL, "version": str(version)})["model_version"]
        return {tag["key"]: tag["value"] for tag in found.get("tags", [])}

    def set_tag(self, version: int, key: str, value: str) -> None:
        """As a person does it on the version's page."""
        self.mlflow("model-versions/set-tag", name=MODEL, version=str(version), key=key, value=value)

    def alias(self, name: str) -> int:
        found = self.mlflow("registered-models/alias", params={"name": MODEL, "alias": name})["model_version"]
        return int(found["version"])


@contextmanager
def temporary(home: Path, **settings: str) -> Iterator[Platform]:
    """Not started yet; whatever of it runs at the end is stopped."""
    numbers = {f"NEXTCLICK_{name.upper()}": str(port) for name, port in ports.chosen().items()}
    folders = {"NEXTCLICK_VAR": str(home / "var"), "NEXTCLICK_MLRUNS": str(home / "mlruns"), "COLUMNS": "200"}
    here = Platform({**os.environ, **numbers, **folders, **settings})
    try:
        yield here
    finally:
        down = here.run("infra.local", "down")
        assert down.returncode == 0, down.stdout + down.stderr
        subprocess.run(("git", "worktree", "prune"), cwd=ROOT, check=False)


def until(ask: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 120) -> Any:
    """Ask until the answer is the one wanted; the last one is shown if it never is."""
    end = time.monotonic() + seconds
    while not wanted(found := ask()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain, last seen: {found}"
        time.sleep(0.5)
    return found
