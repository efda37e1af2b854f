"""The trigger form's values become the run's params.yaml."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import ParamsError, nearest
from pipelines.schema import check


def apply(values: dict[str, Any], form: str) -> dict[str, Any]:
    """`values` with those of the form (JSON, dotted keys) put in, all checked against the types, and written as they say: a form
    in a browser sends 5 for 5.0, and DVC would take that for a change.

    ParamsError for text that is not JSON, for an unknown key (with the nearest right one) and for a value out of bounds.
    """
    try:
        wanted = json.loads(form or "{}")
    except json.JSONDecodeError as error:
        raise ParamsError("the form's values are not JSON", f"OVERRIDES: {error}", "trigger the DAG from its form") from None
    merged = copy.deepcopy(values)
    for key, value in wanted.items():
        *sections, name = key.split(".")
        place: Any = merged
        for part in sections:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or name not in place:
            raise ParamsError(f"there is no setting {key!r}", "the trigger form (dag run conf)", nearest(key, dotted(values)))
        place[name] = value
    typed: dict[str, Any] = check(merged).model_dump(mode="json")
    return typed


def dotted(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Every setting by its dotted name."""
    names = []
    for key, value in values.items():
        names += dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names


def write(values: dict[str, Any], path: Path) -> None:
    """Dates are quoted: DVC rejects bare ones."""
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
