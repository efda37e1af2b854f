"""MLflow's tracking side, its only home: runs, settings, curves, data sets, lineage."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from pipelines.errors import DataError, ServiceError
from pipelines.paths import LOCK
from pipelines.stores.settings import settings

EXPERIMENT = "nextclick"
PATIENCE_S = 8
"""How long MLflow may take to say that it is there before it counts as down."""
REQUEST_S = 30
"""How long it may take to answer a request, of which there are two attempts; MLflow's own default is eight times two minutes."""
BATCH = 1000
"""Metrics that MLflow takes in one request."""
FULL = ("No space left on device", "Disk quota exceeded", "database or disk is full")

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(REQUEST_S))

T = TypeVar("T")


class Run:
    """One run of MLflow that is being written."""

    def __init__(self, run_id: str, goes_on: bool = False) -> None:
        self.id, self.goes_on = run_id, goes_on

    @property
    def url(self) -> str:
        """The run's page."""
        return f"{settings().mlflow_url}/#/experiments/{experiment_id()}/runs/{self.id}"

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [Metric(name, float(value), now, step) for name, value in values.items()]
        for begin in range(0, len(entries), BATCH):
            _ask(partial(_client().log_batch, self.id, metrics=entries[begin : begin + BATCH]))

    def params(self, values: Mapping[str, Any]) -> None:
        """Nested mappings are flattened: `train.batch_size`."""
        from mlflow.entities import Param

        _ask(lambda: _client().log_batch(self.id, params=[Param(key, str(value)) for key, value in flat(values).items()]))

    def data(self, folder: Path, context: str, profile: Mapping[str, Any]) -> None:
        """The data set as an input of the run, known by the digest of its files."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = yaml.safe_dump({"uri": folder.resolve().as_uri()})
        found = Dataset(str(folder), digest(folder), "local", source, profile=str(dict(profile)))
        _ask(lambda: _client().log_inputs(self.id, [DatasetInput(found, [InputTag("mlflow.data.context", context)])]))


@contextmanager
def start(name: str, tags: Mapping[str, str], run_id: str | None = None) -> Iterator[Run]:
    """A new run with lineage tags and system metrics. It ends FINISHED, or FAILED if the block raises.

    run_id  an earlier run that goes on, if MLflow still knows it
    ServiceError within seconds if MLflow does not answer.
    """
    check()
    again = run_id is not None and _reopen(run_id)
    run = Run(run_id if run_id and again else _ask(lambda: _create(name, {**lineage(), **tags})), again)
    monitor = _monitor(run.id)
    try:
        yield run
    except BaseException:
        monitor.finish()
        try:
            _ask(lambda: _client().set_terminated(run.id, "FAILED"))
        except ServiceError as error:  # the first error is the one to be seen
            print(f"MLflow run {run.id} could not be marked FAILED: {error.where}", file=sys.stderr, flush=True)
        raise
    monitor.finish()
    _ask(lambda: _client().set_terminated(run.id, "FINISHED"))


def resume(run_id: str) -> Run:
    """An earlier run, to add to it. ServiceError if MLflow does not know it."""
    check()
    _ask(lambda: _client().get_run(run_id))
    return Run(run_id)


def check() -> None:
    """ServiceError at once if MLflow does not answer; done before anything long begins."""
    address = settings().tracking_uri
    if address.startswith("sqlite:///"):
        Path(address.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        return
    try:
        httpx.get(f"{address}/health", timeout=PATIENCE_S).raise_for_status()
    except httpx.HTTPError as error:
        raise _down(f"{type(error).__name__}: {error}") from None


def lineage() -> dict[str, str]:
    """What the run was made of: the git commit, and the hash of every output that `dvc.lock` knows."""
    tags = {}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if commit.returncode == 0:
        tags["mlflow.source.git.commit"] = commit.stdout.strip()
    if LOCK.exists():
        stages = (yaml.safe_load(LOCK.read_text(encoding="utf-8")) or {}).get("stages", {})
        for stage, entry in stages.items():
            for out in entry.get("outs", []):
                tags[f"dvc.{stage.replace('@', '.')}.{out['path']}"] = str(out.get("md5") or out.get("hash"))
    return tags


def digest(folder: Path) -> str:
    """Of names and contents of the files below the folder; 32 hex digits of SHA-256. run.json holds timings: left out."""
    total = hashlib.sha256()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "run.json")
    if not files:
        raise DataError("the data set is empty", str(folder), "run etl (dvc repro etl)")
    for path in files:
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as content:
            total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()[:32]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"train": {"seed": 1}} becomes {"train.seed": 1}."""
    rows: dict[str, Any] = {}
    for key, value in values.items():
        rows |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return rows


def _client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=settings().tracking_uri)


def _create(name: str, tags: Mapping[str, str]) -> str:
    return str(_client().create_run(experiment_id(), run_name=name, tags=dict(tags)).info.run_id)


def _reopen(run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        _client().update_run(run_id, status="RUNNING")
    except MlflowException as error:  # deleted or never known here; any other trouble meets the next question too
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return False
        raise _down(" ".join(str(error).split())[:500]) from None
    return True


def experiment_id() -> str:
    """Of the one experiment, made when first asked for; several processes may ask at once."""
    from mlflow.exceptions import MlflowException

    client = _client()
    if not client.get_experiment_by_name(EXPERIMENT):
        place = (settings().artifacts / EXPERIMENT).resolve().as_uri()
        try:
            client.create_experiment(EXPERIMENT, artifact_location=place)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    return str(client.get_experiment_by_name(EXPERIMENT).experiment_id)


def _monitor(run_id: str) -> Any:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, sampling_interval=5, tracking_uri=settings().tracking_uri)
    monitor.start()
    return monitor


def _ask(question: Callable[[], T]) -> T:
    with guard():
        return question()


@contextmanager
def guard() -> Iterator[None]:
    """MLflow's failures, of whatever it is asked, as ServiceError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, ConnectionError) as error:
        raise _down(" ".join(str(error).split())[:500]) from None


def _down(why: str) -> ServiceError:
    where = f"{settings().tracking_uri}: {why}"
    if any(sign in why for sign in FULL):
        return ServiceError("the disk is full", where, "free space on that disk and run this again; nothing was changed")
    next_step = "make status shows whether it runs, make up starts it; NEXTCLICK_MLFLOW_URI names another one"
    return ServiceError("MLflow does not answer as it should", where, next_step)
