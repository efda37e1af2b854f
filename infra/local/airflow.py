"""Airflow on this machine: its settings, users, database, pool."""

from __future__ import annotations

import json
import subprocess

from infra.local import keys, ports
from infra.local.airflow_api import Airflow
from pipelines.errors import ServiceError
from pipelines.review.work import WATCH
from pipelines.stores.settings import Settings

PEOPLE = {"admin": "admin", "reviewer": "op"}
"""Name -> role of Airflow's simple auth manager: a reviewer triggers, approves and edits pools, but is no admin."""
USERS = {**PEOPLE, WATCH: "user"}
"""With the one as whom `infra.watch` carries over what a reviewer answers in MLflow."""

POOL = "gpu"


def command(settings: Settings, *arguments: str) -> tuple[str, ...]:
    return (str(settings.venv / "orchestrator" / "bin" / "airflow"), *arguments)


def environment(settings: Settings) -> dict[str, str]:
    """Airflow is set by environment alone; the airflow.cfg that it writes for itself holds defaults."""
    home, secrets, logs = settings.var / "airflow", settings.var / "secrets", settings.var / "log" / "airflow"
    sections: dict[str, dict[str, object]] = {
        "CORE": {
            "DAGS_FOLDER": settings.dags,
            "PLUGINS_FOLDER": settings.root / "infra" / "airflow" / "plugins",
            "LOAD_EXAMPLES": False,
            "EXECUTOR": "LocalExecutor",
            "PARALLELISM": 4,
            "DAGS_ARE_PAUSED_AT_CREATION": True,
            "SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
            "SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
            "EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
            "FERNET_KEY": keys.kept(secrets / "airflow-fernet-key") + "=",  # 32 bytes in padded base64
        },
        "DATABASE": {"SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}"},
        "LOGGING": {"BASE_LOG_FOLDER": logs, "DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": logs / "dag_processor"},
        "API": {
            "HOST": ports.LOOPBACK,
            "PORT": settings.airflow_port,
            "BASE_URL": settings.airflow_url,
            "WORKERS": 1,
            "SECRET_KEY": keys.kept(secrets / "airflow-secret-key"),
        },
        "API_AUTH": {"JWT_SECRET": keys.kept(secrets / "airflow-jwt-secret", num_bytes=64)},
        "SCHEDULER": {"SCHEDULER_HEARTBEAT_SEC": 1},
        "DAG_PROCESSOR": {
            "REFRESH_INTERVAL": 5,
            "MIN_FILE_PROCESS_INTERVAL": 30,
            "PARSING_PROCESSES": 1,
            "PRINT_STATS_INTERVAL": 0,
        },
        "USAGE_DATA_COLLECTION": {"ENABLED": False},
    }
    values = {f"AIRFLOW__{name}__{key}": str(value) for name, keys_ in sections.items() for key, value in keys_.items()}
    return {"AIRFLOW_HOME": str(home), **values}


def passwords(settings: Settings) -> dict[str, str]:
    """User -> password, made once; a user that a later release adds gets one then."""
    path = settings.var / "airflow" / "passwords.json"
    known = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
    if missing := USERS.keys() - known.keys():
        known |= {user: keys.new(16) for user in USERS if user in missing}
        keys.write(path, json.dumps(known, indent=2))
    return known


def prepare(settings: Settings, env: dict[str, str]) -> None:
    """Users and database, brought to this Airflow's version. ServiceError if the migration fails."""
    home = settings.var / "airflow"
    passwords(settings)
    installed = (settings.venv / "orchestrator" / ".stamp").read_text(encoding="utf-8")
    done = home / ".migrated"
    if done.exists() and done.read_text(encoding="utf-8") == installed and (home / "airflow.db").exists():
        return
    said = subprocess.run(
        command(settings, "db", "migrate"),
        env=env,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if said.returncode:
        last = "\n         ".join((said.stdout + said.stderr).strip().splitlines()[-8:])
        next_step = f"mend what it says; if the runs so far may go, delete {home / 'airflow.db'} and `make up` again"
        raise ServiceError("Airflow could not prepare its database", last, next_step)
    done.write_text(installed, encoding="utf-8")


def rest(settings: Settings, user: str = "admin") -> Airflow:
    """Airflow's REST interface as that user."""
    return Airflow(settings.airflow_url, user, passwords(settings)[user])


def make_pool(settings: Settings) -> None:
    """The pool `gpu` with the slots that the settings say: a task in a pool that is not there never runs."""
    airflow = rest(settings)
    wanted = {"slots": settings.gpu_slots, "description": "tasks that use a GPU", "include_deferred": False}
    there = airflow.call("GET", "/api/v2/pools", params={"pool_name_pattern": POOL})["pools"]
    if any(pool["name"] == POOL for pool in there):
        airflow.call("PATCH", f"/api/v2/pools/{POOL}", json={"pool": POOL, **wanted})
    else:
        airflow.call("POST", "/api/v2/pools", json={"name": POOL, **wanted})
