"""Is it good enough: floors that need no champion, the champion, every part of the test."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

from pipelines.gate.evidence import Evidence, Missing, Slice, Verdict
from pipelines.gate.interval import Difference
from pipelines.gate.params import GateParams

METRIC = "mrr_at_20"
NO_CHAMPION = "no champion yet: the floors alone decide"


def beats_session_popularity(evidence: Evidence, gate: GateParams) -> Verdict:
    return _above("session_popularity", gate.min_vs_session_popularity, evidence, strictly=True)


def stands_against_session_knn(evidence: Evidence, gate: GateParams) -> Verdict:
    return _above("session_knn", gate.min_vs_session_knn, evidence, strictly=False)


def holds_against_champion(evidence: Evidence, gate: GateParams) -> Verdict:
    """On the main metric, to the side that gate.side names."""
    if evidence.champion is None:
        return Verdict(True, NO_CHAMPION)
    if isinstance(evidence.comparison, Missing):
        return Verdict(False, unmeasured(evidence.champion, evidence.comparison))
    found = evidence.comparison.whole
    sure = f"{gate.confidence:.0%} sure of {found.lower:+.1%} or more"
    if gate.side == "not_worse":
        passed, asked = found.lower >= -gate.max_loss_share, f"at least {-gate.max_loss_share:+.1%} asked"
    else:
        passed = found.lower > 0 and found.share >= gate.min_gain_share
        asked = f"a sure gain, and {gate.min_gain_share:+.1%} measured, asked"
    seen = f"MRR@20 {found.challenger:.4f}, {found.share:+.1%} to version {evidence.champion}"
    able = "an equal model" if gate.side == "not_worse" else f"a true gain of {gate.min_gain_share:.1%}"
    return Verdict(passed, f"{seen} ({sure}; {asked}; {found.sessions:,} sessions; {able} passes with {power(found, gate):.0%})")


def power(found: Difference, gate: GateParams) -> float:
    """Chance that these test sessions let the right one pass (normal approximation).

    not_worse: a challenger exactly as good as the champion. better: one whose true gain is min_gain_share.
    """
    if found.error == 0:
        return 1.0
    needed = NormalDist().inv_cdf(gate.confidence) * found.error
    if gate.side == "not_worse":
        return NormalDist().cdf((gate.max_loss_share - needed) / found.error)
    return NormalDist().cdf((gate.min_gain_share - max(needed, gate.min_gain_share)) / found.error)


def no_slice_worse(evidence: Evidence, gate: GateParams) -> Verdict:
    """Refused where it is sure that a slice loses more than it may.

    Sure: the hypothesis that it loses no more is rejected. With many slices one would be by chance, so all of them together
    are wrong with a probability of at most 1 - confidence (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    if evidence.champion is None:
        return Verdict(True, NO_CHAMPION)
    if isinstance(evidence.comparison, Missing):
        return Verdict(False, unmeasured(evidence.champion, evidence.comparison))
    judged = [one for one in evidence.comparison.slices if one.difference]
    small = [one for one in evidence.comparison.slices if not one.difference]
    if not judged:
        return Verdict(False, f"no slice has {gate.min_slice_sessions:,} test sessions: none was judged")
    worse = holm([one.difference.p_worse for one in judged if one.difference], 1 - gate.confidence)
    lost = [_told(one) for one, is_worse in zip(judged, worse, strict=True) if is_worse]
    left = f"; not judged, under {gate.min_slice_sessions:,} sessions: {', '.join(map(str, small))}" if small else ""
    allowed = f"more than {gate.max_slice_loss_share:.0%} lost"
    if lost:
        return Verdict(False, f"{allowed} in {', '.join(lost)} ({len(judged)} slices{left})")
    lowest = min(judged, key=lambda one: one.difference.share if one.difference else 0.0)
    return Verdict(True, f"nowhere surely {allowed} in {len(judged)} slices, lowest {_told(lowest)}{left}")


def holm(p_values: Sequence[float], error_rate: float) -> list[bool]:
    """Which hypotheses are rejected so that with `error_rate` at most any of them is rejected wrongly."""
    rejected = [False] * len(p_values)
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        if p_values[index] > error_rate / (len(p_values) - place):
            break
        rejected[index] = True
    return rejected


def unmeasured(champion: int, missing: Missing) -> str:
    return f"the champion (version {champion}) was not measured on these sessions: {missing.why}"


def _told(one: Slice) -> str:
    assert one.difference
    return f"{one} {one.difference.share:+.1%}"


def _above(baseline: str, ratio: float, evidence: Evidence, strictly: bool) -> Verdict:
    ours, theirs = evidence.metric(METRIC), evidence.metric(METRIC, baseline)
    if ours is None or theirs is None:
        missing = evidence.challenger if ours is None else baseline
        return Verdict(False, f"MRR@20 of {missing} was not measured (is it in `models`?)")
    floor = ratio * theirs
    passed = ours > floor if strictly else ours >= floor
    asked = f"{'above' if strictly else 'at least'} {floor:.4f} asked"
    return Verdict(passed, f"MRR@20 {ours:.4f}, {baseline} {theirs:.4f} ({asked})")
