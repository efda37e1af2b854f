"""The rules: evidence in, verdict and reason out. What was not measured does not pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.gate.interval import Difference
from pipelines.gate.params import GateParams


@dataclass(frozen=True)
class Evidence:
    """What is known of the challenger. None: not measured.

    mrr         MRR@20 of each model on the test sessions
    champion    the version that is served; None if there is none yet
    difference  challenger against champion on the same predictions
    """

    challenger: str
    mrr: Mapping[str, float]
    champion: int | None
    difference: Difference | None
    why_no_difference: str | None
    p95_ms: float | None
    parity_sessions: int | None
    parity_wrong: int | None
    why_no_rehearsal: str | None


@dataclass(frozen=True)
class Verdict:
    passed: bool
    reason: str


Rule = Callable[[Evidence, GateParams], Verdict]


def beats_session_popularity(evidence: Evidence, gate: GateParams) -> Verdict:
    return _above("session_popularity", gate.min_vs_session_popularity, evidence, strictly=True)


def stands_against_session_knn(evidence: Evidence, gate: GateParams) -> Verdict:
    return _above("session_knn", gate.min_vs_session_knn, evidence, strictly=False)


def not_worse_than_champion(evidence: Evidence, gate: GateParams) -> Verdict:
    if evidence.champion is None:
        return Verdict(True, "no champion yet: the floors alone decide")
    found = evidence.difference
    if found is None:
        why = evidence.why_no_difference or "no ranks"
        return Verdict(False, f"the champion (version {evidence.champion}) was not measured on these sessions: {why}")
    allowed = -gate.max_loss_share * found.champion
    share = f"{gate.confidence:.0%} sure of {found.lower:+.4f} or more, at least {allowed:+.4f} asked"
    return Verdict(
        found.lower >= allowed, f"MRR@20 {found.mean:+.4f} to version {evidence.champion} ({share}; {found.sessions:,} sessions)"
    )


def answers_in_time(evidence: Evidence, gate: GateParams) -> Verdict:
    if evidence.p95_ms is None:
        return Verdict(False, f"latency in Triton was not measured: {evidence.why_no_rehearsal or 'no rehearsal'}")
    return Verdict(evidence.p95_ms <= gate.max_p95_ms, f"p95 {evidence.p95_ms:.1f} ms (at most {gate.max_p95_ms:.1f} ms)")


def server_and_file_agree(evidence: Evidence, gate: GateParams) -> Verdict:
    if evidence.parity_wrong is None or not evidence.parity_sessions:
        return Verdict(False, f"server and file were not compared: {evidence.why_no_rehearsal or 'no rehearsal'}")
    seen = f"{evidence.parity_wrong} of {evidence.parity_sessions:,} sessions differ (at most {gate.max_parity_wrong})"
    return Verdict(evidence.parity_wrong <= gate.max_parity_wrong, seen)


RULES: tuple[Rule, ...] = (
    beats_session_popularity,
    stands_against_session_knn,
    not_worse_than_champion,
    answers_in_time,
    server_and_file_agree,
)


def _above(baseline: str, ratio: float, evidence: Evidence, strictly: bool) -> Verdict:
    ours, theirs = evidence.mrr.get(evidence.challenger), evidence.mrr.get(baseline)
    if ours is None or theirs is None:
        missing = evidence.challenger if ours is None else baseline
        return Verdict(False, f"MRR@20 of {missing} was not measured (is it in `models`?)")
    floor = ratio * theirs
    passed = ours > floor if strictly else ours >= floor
    return Verdict(
        passed, f"MRR@20 {ours:.4f}, {baseline} {theirs:.4f} ({'above' if strictly else 'at least'} {floor:.4f} asked)"
    )
