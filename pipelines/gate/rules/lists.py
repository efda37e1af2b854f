"""Are the lists good to show: wide, not all best sellers, not all alike. See pipelines.metrics.Shown for the figures."""

from __future__ import annotations

from pipelines.gate.evidence import CHAMPION, Evidence, Verdict
from pipelines.gate.params import GateParams


def shows_many_items(evidence: Evidence, gate: GateParams) -> Verdict:
    """Coverage of the catalogue."""
    seen = evidence.metric("coverage_at_20")
    if seen is None:
        return _missing("coverage", evidence.challenger)
    if seen < gate.min_coverage or evidence.champion is None:
        return Verdict(seen >= gate.min_coverage, f"{seen:.1%} of all items are shown (at least {gate.min_coverage:.0%})")
    theirs = evidence.metric("coverage_at_20", CHAMPION)
    if theirs is None:
        return _missing("coverage", f"the champion (version {evidence.champion})")
    floor = theirs * (1 - gate.max_list_change)
    said = f"{seen:.1%} of all items are shown, by the champion {theirs:.1%} (at least {max(floor, gate.min_coverage):.1%})"
    return Verdict(seen >= floor, said)


def shows_rare_items(evidence: Evidence, gate: GateParams) -> Verdict:
    return _not_above("mean_popularity_at_20", "mean popularity", gate.max_mean_popularity, evidence, gate)


def shows_items_evenly(evidence: Evidence, gate: GateParams) -> Verdict:
    return _not_above("gini_at_20", "Gini of exposure", gate.max_gini, evidence, gate)


def mixes_lists(evidence: Evidence, gate: GateParams) -> Verdict:
    """Neither what the visitor has just seen, nor the same for everybody."""
    repeats, overlap = evidence.metric("repeat_share_at_20"), evidence.metric("overlap_at_20")
    if repeats is None or overlap is None:
        return _missing("repetition", evidence.challenger)
    said = (
        f"{repeats:.1%} of the places hold an item of the session (at most {gate.max_repeat_share:.0%}), "
        f"two lists share {overlap:.1%} (at most {gate.max_overlap:.0%})"
    )
    return Verdict(repeats <= gate.max_repeat_share and overlap <= gate.max_overlap, said)


def _not_above(metric: str, name: str, highest: float, evidence: Evidence, gate: GateParams) -> Verdict:
    seen = evidence.metric(metric)
    if seen is None:
        return _missing(name, evidence.challenger)
    if seen > highest or evidence.champion is None:
        return Verdict(seen <= highest, f"{name} {seen:.3f} (at most {highest:.2f})")
    theirs = evidence.metric(metric, CHAMPION)
    if theirs is None:
        return _missing(name, f"the champion (version {evidence.champion})")
    ceiling = min(highest, theirs * (1 + gate.max_list_change))
    return Verdict(seen <= ceiling, f"{name} {seen:.3f}, the champion's {theirs:.3f} (at most {ceiling:.3f})")


def _missing(what: str, whose: str) -> Verdict:
    return Verdict(False, f"{what} of {whose} was not measured (python -m pipelines evaluate)")
