"""A challenger about which everything is known and good, for tests to spoil."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines import params
from pipelines.gate.evidence import Comparison, Drift, Drifts, Evidence, Health, Missing, Parity, Service, Slice, Table
from pipelines.gate.interval import Difference
from pipelines.gate.params import GateParams

ROOT = Path(__file__).resolve().parents[3]
GATE = params.section("gate", GateParams, ROOT / "params.yaml")
NO = Missing("nobody looked")


def difference(
    share: float = 0.05, lower: float = 0.01, p_worse: float = 1.0, error: float = 0.02, sessions: int = 500
) -> Difference:
    return Difference(share, lower, 0.1, error, p_worse, 0.2 * (1 + share), 0.2, sessions, 4 * sessions)


WHOLE = difference()
LISTS = {
    "coverage_at_20": 0.8,
    "mean_popularity_at_20": 0.1,
    "gini_at_20": 0.6,
    "repeat_share_at_20": 0.1,
    "overlap_at_20": 0.05,
}
METRICS: dict[str, dict[str, float]] = {
    "gru4rec": {"mrr_at_20": 0.20, "unseen_share": 0.05, "sessions": 4000, **LISTS},
    "session_popularity": {"mrr_at_20": 0.10},
    "session_knn": {"mrr_at_20": 0.20},
    "champion": {"mrr_at_20": 0.19, **LISTS},
}
GOOD = Evidence(
    challenger="gru4rec",
    metrics=METRICS,
    champion=3,
    comparison=Comparison(WHOLE, (Slice("day", "2026-11-14", 300, WHOLE), Slice("category", "toys", 12, None))),
    service=Service(2.0, 5.0, 100.0),
    champion_service=Service(2.0, 5.0, 90.0),
    parity=Parity(1000, 0),
    drifts=Drifts((Drift("price", 0.02, 0.0), Drift("category", 0.05, None)), ("brand",)),
    health=Health((5.0, 3.0), Table(1000, 128, 0.05, 100.0)),
)
BLIND = Evidence("gru4rec", {}, 3, NO, NO, NO, NO, NO, NO)
"""Nothing was measured."""
OWN = {name: values for name, values in METRICS.items() if name != "champion"}
ALONE = replace(GOOD, champion=None, comparison=NO, champion_service=NO, metrics=OWN)
"""There is no champion."""


def mrr(**values: float) -> Evidence:
    return replace(GOOD, metrics={name: {"mrr_at_20": value} for name, value in values.items()})


def metric(evidence: Evidence = GOOD, model: str = "gru4rec", **values: float | None) -> Evidence:
    """With these metrics of one model; None: not measured."""
    changed = {name: value for name, value in {**evidence.metrics[model], **values}.items() if value is not None}
    return replace(evidence, metrics={**evidence.metrics, model: changed})


def whole(**values: Any) -> Evidence:
    return replace(GOOD, comparison=Comparison(difference(**values), ()))


def slices(*p_values: float | None) -> Evidence:
    """One slice for each p-value, 20 % lost in it; None: too small to judge."""
    parts = [
        Slice("category", f"c{number}", 9 if p is None else 300, None if p is None else difference(share=-0.2, p_worse=p))
        for number, p in enumerate(p_values)
    ]
    return replace(GOOD, comparison=Comparison(WHOLE, tuple(parts)))
