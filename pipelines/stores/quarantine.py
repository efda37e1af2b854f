"""What validate found: counts per day and reason, for every later step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines import paths
from pipelines.errors import DataError

SUMMARY = "summary.json"


def summary(folder: Path = paths.VALIDATE) -> dict[str, Any]:
    """data/validate/summary.json. DataError if validate has not run."""
    try:
        values = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("there is no summary of validate", str(folder / SUMMARY), "python -m pipelines validate") from None
    assert isinstance(values, dict)
    return values


def reasons(folder: Path = paths.VALIDATE) -> dict[str, dict[str, int]]:
    """Day -> reason -> quarantined rows. Days outside the window and `undated` are among them."""
    days = summary(folder)["days"]
    return {day: dict(counts["reasons"]) for day, counts in days.items()}
