"""The challenger is the best model on the validation sessions; the test sessions choose nothing."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.errors import DataError, ParamsError, nearest
from pipelines.paths import TRAIN
from pipelines.stores.sessions import read_json

METRIC = "valid_mrr_at_20"


def best(models: Sequence[str], candidates: Sequence[str] | None) -> tuple[str, dict[str, float]]:
    """Name of the best candidate, and each one's MRR@20 on the validation sessions. Equal ones: the first of `models`."""
    for name in candidates or ():
        if name not in models:
            where = f"register.candidates = {list(candidates or ())}, models = {list(models)}"
            raise ParamsError(f"the candidate {name!r} is not a model of this run", where, nearest(name, models))
    found = {
        name: read_json(TRAIN / name / "metrics.json").get(METRIC) for name in models if not candidates or name in candidates
    }
    for name, value in found.items():
        if not isinstance(value, int | float):
            raise DataError(f"{METRIC} of {name} is {value!r}", str(TRAIN / name / "metrics.json"), f"dvc repro train@{name}")
    measured = {name: float(value) for name, value in found.items() if value is not None}
    return max(measured, key=lambda name: measured[name]), measured
