"""Was it tested on days like those it learned from, and on items that it could know."""

from __future__ import annotations

from pipelines.gate.evidence import Drift, Evidence, Missing, Verdict
from pipelines.gate.params import GateParams


def test_days_are_like_training_days(evidence: Evidence, gate: GateParams) -> Verdict:
    """A column has drifted if it changed much (PSI) and, for numbers, surely (KS): of many rows any change is sure."""
    found = evidence.drifts
    if isinstance(found, Missing):
        return Verdict(False, f"drift was not measured: {found.why}")
    if not found.columns:
        return Verdict(False, f"drift was not measured: the data have none of the columns {', '.join(found.absent)}")
    away = [one for one in found.columns if drifted(one, gate)]
    most = max(found.columns, key=lambda one: one.psi)
    named = ", ".join(f"{one.column} (PSI {one.psi:.2f})" for one in away) or f"most {most.column} (PSI {most.psi:.2f})"
    absent = f"; not in the data: {', '.join(found.absent)}" if found.absent else ""
    said = f"{len(away)} of {len(found.columns)} columns have drifted, {named}"
    limits = f"at most {gate.max_drifted_columns} above PSI {gate.max_psi:g}{absent}"
    return Verdict(len(away) <= gate.max_drifted_columns, f"{said} ({limits})")


def drifted(one: Drift, gate: GateParams) -> bool:
    return one.psi > gate.max_psi and (one.ks_p is None or one.ks_p < 1 - gate.confidence)


def knows_the_items(evidence: Evidence, gate: GateParams) -> Verdict:
    """Share of the test events whose item had no training event: no model of this run can find them."""
    seen = evidence.metric("unseen_share")
    if seen is None:
        return Verdict(False, f"the share of unseen items was not measured with {evidence.challenger}")
    said = f"{seen:.1%} of the test events are of items without a training event (at most {gate.max_unseen_share:.0%})"
    return Verdict(seen <= gate.max_unseen_share, said)
