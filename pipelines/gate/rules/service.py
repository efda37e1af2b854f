"""Does it serve: in time, beside the champion, in the memory there is, as the file says. Measured in the real Triton."""

from __future__ import annotations

from pipelines.gate.evidence import Evidence, Missing, Service, Verdict
from pipelines.gate.params import GateParams

NO_CHAMPION = "no champion yet to compare with"


def answers_in_time(evidence: Evidence, gate: GateParams) -> Verdict:
    found = evidence.service
    if isinstance(found, Missing):
        return Verdict(False, f"latency in Triton was not measured: {found.why}")
    limits = f"at most {gate.max_p50_ms:.1f} ms and {gate.max_p95_ms:.1f} ms"
    passed = found.p50_ms <= gate.max_p50_ms and found.p95_ms <= gate.max_p95_ms
    return Verdict(passed, f"p50 {found.p50_ms:.1f} ms, p95 {found.p95_ms:.1f} ms ({limits})")


def as_quick_as_champion(evidence: Evidence, gate: GateParams) -> Verdict:
    if evidence.champion is None:
        return Verdict(True, NO_CHAMPION)
    ours, theirs = evidence.service, evidence.champion_service
    if isinstance(ours, Missing):
        return Verdict(False, f"latency in Triton was not measured: {ours.why}")
    if isinstance(theirs, Missing):
        return Verdict(False, f"the champion's latency was not measured: {theirs.why}")
    limit = gate.max_latency_ratio
    passed = ours.p50_ms <= limit * theirs.p50_ms and ours.p95_ms <= limit * theirs.p95_ms
    p50, p95 = ((f"{mine:.1f} ms to {his:.1f} ms") for mine, his in ((ours.p50_ms, theirs.p50_ms), (ours.p95_ms, theirs.p95_ms)))
    return Verdict(passed, f"p50 {p50}, p95 {p95} of version {evidence.champion} (at most {limit:g} times)")


def fits_in_memory(evidence: Evidence, gate: GateParams) -> Verdict:
    if gate.max_memory_mb is None:
        return Verdict(True, "not judged: gate.max_memory_mb is empty")
    ours, theirs = memory(evidence.service), memory(evidence.champion_service)
    if isinstance(ours, Missing):
        return Verdict(False, f"memory was not measured: {ours.why}")
    said = f"{ours:.0f} MB (at most {gate.max_memory_mb:.0f} MB"
    if evidence.champion is None or ours > gate.max_memory_mb:
        return Verdict(ours <= gate.max_memory_mb, f"{said})")
    if isinstance(theirs, Missing):
        return Verdict(False, f"the champion's memory was not measured: {theirs.why}")
    limit = gate.max_memory_ratio
    return Verdict(ours <= limit * theirs, f"{said}; version {evidence.champion} takes {theirs:.0f} MB, at most {limit:g} times)")


def server_and_file_agree(evidence: Evidence, gate: GateParams) -> Verdict:
    found = evidence.parity
    if isinstance(found, Missing):
        return Verdict(False, f"server and file were not compared: {found.why}")
    sessions = evidence.metric("sessions")
    asked = gate.min_parity_sessions if sessions is None else min(gate.min_parity_sessions, int(sessions))
    if found.sessions < asked:
        return Verdict(False, f"server and file were compared on {found.sessions:,} sessions only ({asked:,} asked)")
    seen = f"{found.wrong} of {found.sessions:,} sessions differ (at most {gate.max_parity_wrong})"
    return Verdict(found.wrong <= gate.max_parity_wrong, seen)


def memory(service: Service | Missing) -> float | Missing:
    return service if isinstance(service, Missing) else service.memory_mb
