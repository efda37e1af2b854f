"""MLflow's model registry, its only home: versions of one registered model, their packages, aliases and tags.

Aliases: `challenger` is what the gate judges, `champion` what is served, `previous` what a rollback serves again.
A version's tags keep the SHA-256 of every file (`sha256.<file>`), outside the artifact store; each pull checks them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipelines.errors import DataError, ServiceError
from pipelines.stores import manifest, signature, tracking
from pipelines.stores.settings import settings

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
HASH = "sha256."
KEY = "package_key"
OVERRIDE = ("override.by", "override.at", "override.why", "override.rules")
"""Tags of a version that somebody lets pass against the gate; the gate's next verdict removes them."""
GONE = "No such artifact"
"""What MLflow says of files that are not where they were written."""
VERSION_FILE = "version.json"
"""Written beside a pulled package: which version it is."""

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """A registered version; its number is also the version that Triton shows."""

    model: str
    version: int
    run_id: str
    source: str
    description: str
    tags: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"{settings().mlflow_url}/#/models/{self.model}/versions/{self.version}"

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file of the package, the manifest included."""
        return {key.removeprefix(HASH): value for key, value in self.tags.items() if key.startswith(HASH)}


def resolve(alias: str) -> Version | None:
    """The version an alias points to; None if there is no such alias (or no version at all)."""
    with service() as client:
        found = _or_none(lambda: client.get_model_version_by_alias(settings().model_name, alias))
    return _version(found) if found else None


def get(version: int) -> Version:
    """DataError, with the versions there are, if it does not exist."""
    with service() as client:
        found = _or_none(lambda: client.get_model_version(settings().model_name, str(version)))
        known = [] if found else [one.version for one in client.search_model_versions(f"name='{settings().model_name}'")]
    if found:
        return _version(found)
    listed = ", ".join(map(str, sorted(map(int, known)))) or "none"
    raise DataError(
        f"{settings().model_name} has no version {version}", "MLflow's model registry", f"versions there are: {listed}"
    )


def find(package_key: str) -> Version | None:
    """The newest version with this key, if the same package was registered before."""
    with service() as client:
        question = f"name='{settings().model_name}' and tags.{KEY}='{package_key}'"
        found = sorted(client.search_model_versions(question), key=lambda one: -int(one.version))
        return _version(client.get_model_version(settings().model_name, found[0].version)) if found else None


def fetch(which: str | int | Version, folder: Path) -> Version | None:
    """Pull a version's package into `folder` (made anew), every file checked against the registry's hashes and the manifest.

    which    an alias, a number, or a version already looked up
    returns  the version; None if the alias does not exist, and then the folder is not there either
    """
    version = resolve(which) if isinstance(which, str) else which if isinstance(which, Version) else get(which)
    shutil.rmtree(folder, ignore_errors=True)
    if version is None:
        return None
    import mlflow.artifacts
    import mlflow.exceptions

    draft = folder.with_name(f"{folder.name}.pulled")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    origin = f"{version.model} version {version.version}, {version.source}"
    if not version.hashes:
        raise DataError("the version has no hashes", origin, "only versions made by `register` can be served")
    with service() as client:
        place = client.get_logged_model(version.source.removeprefix("models:/")).artifact_location
        try:
            pulled = Path(mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=str(draft)))
        except mlflow.exceptions.MlflowException as error:
            if GONE not in str(error):
                raise
            raise DataError("the version's files are gone", f"{origin}, {place}", manifest.CHANGED) from None
    manifest.check(pulled, version.hashes, f"{origin}, {place}")
    (pulled / VERSION_FILE).write_text(json.dumps({"model": version.model, "version": version.version}) + "\n", encoding="utf-8")
    pulled.rename(folder)
    shutil.rmtree(draft, ignore_errors=True)
    return version


def register(package: Path, run_id: str, description: str, tags: Mapping[str, str], package_key: str) -> Version:
    """The package as a new version with its hashes in the tags. Nothing is seen of it before it is whole."""
    listed = {HASH + name: value for name, value in manifest.hashes(package).items()}
    listed[HASH + manifest.MANIFEST] = manifest.sha256(package / manifest.MANIFEST)
    name = settings().model_name
    with service() as client:
        run = client.get_run(run_id)
        _or_none(
            lambda: client.create_registered_model(name, description="Next item of a session; raw item ids in and out."), "EXISTS"
        )
        logged = client.create_logged_model(run.info.experiment_id, name=name, source_run_id=run_id, model_type=tags.get("model"))
        client.log_model_artifacts(logged.model_id, str(package))
        client.finalize_logged_model(logged.model_id, "READY")
        made = client.create_model_version(
            name,
            source=f"models:/{logged.model_id}",
            run_id=run_id,
            description=description,
            tags={**tags, **listed, **signature.sign(package / manifest.MANIFEST), KEY: package_key},
            model_id=logged.model_id,
        )
        return _version(client.get_model_version(name, made.version))


def move(alias: str, version: int) -> None:
    """The alias points to this version from now on."""
    with service() as client:
        client.set_registered_model_alias(settings().model_name, alias, str(version))


def swap(alias: str, expected: int | None, version: int) -> None:
    """Compare and set: the alias moves to `version` if it points to `expected` (None: to nothing); else DataError.

    MLflow knows no such step. Between the comparison and the move lies one request; our own publishers are kept out of it
    by the publish lock, and a person's hand in MLflow's page that comes into it is seen by the question afterwards and said.
    A move that MLflow did not confirm counts if the alias is found moved.
    """
    _compare(alias, expected, "it was moved meanwhile, nothing was changed: start again from what is champion now")
    try:
        move(alias, version)
    except ServiceError:
        found = resolve(alias)
        if found is None or found.version != version:
            raise
    _compare(alias, version, "somebody moved it at the same moment: look at both versions, then promote the right one")


def _compare(alias: str, expected: int | None, next_step: str) -> None:
    found = resolve(alias)
    if (found.version if found else None) != expected:
        words = [f"version {number}" if number else "no version" for number in (found.version if found else None, expected)]
        raise DataError(f"the alias {alias} points to {words[0]}, not to {words[1]}", settings().tracking_uri, next_step)


def drop(alias: str) -> None:
    with service() as client:
        client.delete_registered_model_alias(settings().model_name, alias)


def tag(version: int, tags: Mapping[str, str]) -> None:
    with service() as client:
        for key, value in tags.items():
            client.set_model_version_tag(settings().model_name, str(version), key, value)


def untag(version: int, keys: Iterable[str]) -> None:
    with service() as client:
        for key in keys:
            client.delete_model_version_tag(settings().model_name, str(version), key)


def versions(newest: int = 100) -> list[Version]:
    """The newest versions with their tags, newest first."""
    with service() as client:
        which = f"name='{settings().model_name}'"
        found = client.search_model_versions(which, max_results=newest, order_by=["version_number DESC"])
        return [_version(one) for one in found]


def describe(version: int, text: str) -> None:
    """Markdown of the version's page."""
    with service() as client:
        client.update_model_version(settings().model_name, str(version), text)


def attach(run_id: str, folder: Path, place: str) -> None:
    """Files as artifacts of a run."""
    with service() as client:
        client.log_artifacts(run_id, str(folder), place)


def write_mlmodel(package: Path, run_id: str, example: Mapping[str, Any], inputs: Any, outputs: Any) -> None:
    """`MLmodel` and the input example in MLflow's own form: the registry page shows the signature, mlflow.onnx can load it.

    example          input name -> array
    inputs, outputs  (name, numpy dtype, shape) of each tensor; -1 for the batch
    """
    import numpy as np
    import onnx
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    def schema(tensors: Any) -> Schema:
        return Schema([TensorSpec(np.dtype(kind), shape, name) for name, kind, shape in tensors])

    text = json.dumps({"inputs": {name: values.tolist() for name, values in example.items()}})
    for file in ("input_example.json", "serving_input_example.json"):
        (package / file).write_text(text + "\n", encoding="utf-8")
    model = Model(run_id=run_id, signature=ModelSignature(schema(inputs), schema(outputs)), model_uuid=None)
    model.saved_input_example_info = {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": "ndarray",
        "format": "tf-serving",
    }
    model.add_flavor("onnx", onnx_version=onnx.__version__, data="model.onnx", providers=["CPUExecutionProvider"], code=None)
    model.add_flavor("python_function", loader_module="mlflow.onnx", data="model.onnx", env={}, python_version="3.11")
    model.save(str(package / "MLmodel"))


def _version(found: Any) -> Version:
    return Version(found.name, int(found.version), found.run_id, found.source, found.description or "", dict(found.tags))


def _or_none(question: Callable[[], T], code: str = "NOT_FOUND|DOES_NOT_EXIST|INVALID_PARAMETER") -> T | None:
    """The answer, or None if MLflow says that there is none (or, with another code, that there is one already)."""
    from mlflow.exceptions import MlflowException

    try:
        return question()
    except MlflowException as error:
        if any(part in error.error_code for part in code.split("|")):
            return None
        raise


@contextmanager
def service() -> Iterator[Any]:
    """MLflow's client; its failures become ServiceError."""
    tracking.check()
    import mlflow

    mlflow.set_tracking_uri(settings().tracking_uri)  # some of its own look-ups know no other way
    with tracking.guard():
        yield mlflow.MlflowClient(tracking_uri=settings().tracking_uri, registry_uri=settings().tracking_uri)
