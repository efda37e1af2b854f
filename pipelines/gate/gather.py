"""The evidence, from what the run has left on disk. What is not there, or belongs to another champion, is Missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pipelines.errors import DataError
from pipelines.gate import drift, health
from pipelines.gate.compare import against_champion
from pipelines.gate.evidence import CHAMPION, Comparison, Evidence, Missing, Parity, Service
from pipelines.gate.params import GateParams
from pipelines.paths import EVALUATE, TRAIN
from pipelines.stores import registry
from pipelines.stores.registry import Version

T = TypeVar("T")

NONE = Missing("no champion yet")


def gather(gate: GateParams, made: dict[str, Any], champion: Version | None, models: list[str]) -> Evidence:
    """made: data/register/version.json; models: those of this run."""
    name, rehearsal = made["name"], made["rehearsal"]
    metrics = {model: found for model in models if (found := measured(model))}
    comparison: Comparison | Missing = NONE
    if champion is not None:
        why = unmeasured(champion)
        comparison = Missing(why) if why else against_champion(gate, name)
        if not why:
            metrics[CHAMPION] = measured(CHAMPION)
    return Evidence(
        challenger=name,
        metrics=metrics,
        champion=champion.version if champion else None,
        comparison=comparison,
        service=service(rehearsal),
        champion_service=beside(rehearsal.get("champion"), champion),
        parity=parity(rehearsal),
        drifts=tried(lambda: drift.measure(gate.drift_columns)),
        health=tried(lambda: health.measure(TRAIN / name)),
    )


def measured(model: str) -> dict[str, Any]:
    """Metrics of a model on the test sessions; empty if it was not evaluated."""
    path = EVALUATE / model / "metrics.json"
    return read(path, f"dvc repro evaluate@{model}") if path.exists() else {}


def unmeasured(champion: Version) -> str | None:
    """Why the ranks in data/evaluate/champion are not those of the champion of this moment; None if they are."""
    pulled = TRAIN / CHAMPION / registry.VERSION_FILE
    scored = read(pulled, "start a new run").get("version") if pulled.exists() else None
    if why := measured(CHAMPION).get("unmeasured"):
        return str(why)
    if not (EVALUATE / CHAMPION / "ranks.parquet").exists():
        return "data/evaluate/champion has no ranks (python -m pipelines evaluate champion)"
    if scored != champion.version:
        return f"the ranks are those of version {scored}: the champion changed during the run; start a new run"
    return None


def service(found: dict[str, Any]) -> Service | Missing:
    """Of one version, from what `register` wrote down of its rehearsal."""
    if found.get("p50_ms") is None or found.get("p95_ms") is None:
        return Missing(found.get("why") or "no rehearsal")
    memory_mb = found.get("memory_mb")
    return Service(
        found["p50_ms"],
        found["p95_ms"],
        Missing(found.get("why_no_memory") or "no rehearsal") if memory_mb is None else memory_mb,
    )


def beside(found: dict[str, Any] | None, champion: Version | None) -> Service | Missing:
    """The champion in the same rehearsal."""
    if champion is None:
        return NONE
    if not found:
        return Missing("it was not rehearsed beside the challenger: register the model again")
    if found["version"] != champion.version:
        return Missing(f"version {found['version']} was rehearsed: the champion changed during the run; start a new run")
    return service(found)


def parity(found: dict[str, Any]) -> Parity | Missing:
    if found.get("parity_wrong") is None or not found.get("parity_sessions"):
        return Missing(found.get("why") or "no rehearsal")
    return Parity(found["parity_sessions"], found["parity_wrong"])


def tried(measure: Callable[[], T]) -> T | Missing:
    """A file that cannot be read is not measured; anything else is a bug."""
    try:
        return measure()
    except DataError as error:
        return Missing(f"{error.what} ({error.where})")


def read(path: Path, next_step: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read", f"{path}: {error}", next_step) from None
    return found
