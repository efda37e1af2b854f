"""Whether a service answers: a real request to each, not a look at its process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from infra.local import keys
from pipelines.errors import ServiceError
from pipelines.stores.settings import Settings
from pipelines.stores.triton import Server


@dataclass(frozen=True)
class Health:
    """An answer to "are you well?"."""

    well: bool
    note: str


def check(settings: Settings, service: str) -> Health:
    """Ask the service. A refused connection is an answer too."""
    probe = PROBES[service]
    with httpx.Client(timeout=5, trust_env=False) as http:
        try:
            return probe(settings, http)
        except httpx.TimeoutException:
            return Health(False, "no answer within 5 s")
        except httpx.HTTPError as error:
            return Health(False, f"no answer: {error}")
        except ServiceError as error:
            return Health(False, f"{error.what}: {error.where}")


def mlflow(settings: Settings, http: httpx.Client) -> Health:
    """Asks for the default experiment, hence its database too."""
    answer = http.get(f"{settings.mlflow_url}/api/2.0/mlflow/experiments/get", params={"experiment_id": "0"})
    return Health(answer.is_success, "answers" if answer.is_success else f"{answer.status_code} {answer.text[:200]}")


def airflow(component: str) -> Callable[[Settings, httpx.Client], Health]:
    """Airflow says of its components whether their last heartbeat is fresh."""

    def probe(settings: Settings, http: httpx.Client) -> Health:
        answer = http.get(f"{settings.airflow_url}/api/v2/monitor/health")
        if answer.is_error:
            return Health(False, f"the api server answers {answer.status_code}")
        status = answer.json()[component]["status"]
        return Health(status == "healthy", "answers" if component == "metadatabase" else f"heartbeat {status or 'not seen yet'}")

    return probe


def triton(settings: Settings, http: httpx.Client) -> Health:
    """Every loaded model is asked for an answer: Triton calls itself ready even when the process of a model has died."""
    base = f"http://{settings.triton_url}/v2"
    if http.get(f"{base}/health/live").is_error:
        return Health(False, "not live")
    key = {"x-admin-key": keys.kept(settings.triton_key_file)}
    index: list[dict[str, str]] = http.post(f"{base}/repository/index", headers=key, json={}).raise_for_status().json()
    server = Server(settings.triton_url, timeout_s=5)
    good: list[str] = []
    bad: list[str] = []
    for model in index:
        name = f"{model['name']} {model.get('version', '')}".strip()
        if model.get("state") == "READY":
            reason = server.failure(model["name"], model["version"])
            (bad if reason else good).append(f"{name}: does not answer ({reason})" if reason else name)
        elif model.get("reason", "unloaded") != "unloaded":
            bad.append(f"{name}: {model['reason'].splitlines()[0][:160]}")
    if bad:
        return Health(False, "; ".join(bad))
    return Health(True, f"serves {', '.join(good)}" if good else "live; no model is loaded yet")


def watch(settings: Settings, http: httpx.Client) -> Health:
    """It says itself which part of its last looks did not go well."""
    found = http.get(f"{settings.watch_url}/health").json()
    said = "; ".join(f"{part}: {why}" for part, why in found["unwell"].items())
    return Health(found["well"], said or ("looks, and MLflow knocks" if found["webhook"] else "looks every few seconds"))


PROBES: dict[str, Callable[[Settings, httpx.Client], Health]] = {
    "mlflow": mlflow,
    "airflow-api-server": airflow("metadatabase"),
    "airflow-scheduler": airflow("scheduler"),
    "airflow-dag-processor": airflow("dag_processor"),
    "airflow-triggerer": airflow("triggerer"),
    "triton": triton,
    "watch": watch,
}
