"""Truth tables of the rules: passes, fails, not measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.gate import decision, rules
from pipelines.gate.interval import Difference
from pipelines.gate.params import GateParams
from pipelines.gate.rules import Evidence, Verdict

GATE = GateParams(
    review="auto",
    min_vs_session_popularity=1.0,
    min_vs_session_knn=0.9,
    max_loss_share=0.05,
    confidence=0.95,
    resamples=10_000,
    max_p95_ms=20.0,
    max_parity_wrong=0,
)
GOOD = Evidence(
    challenger="gru4rec",
    mrr={"gru4rec": 0.20, "session_popularity": 0.10, "session_knn": 0.20},
    champion=3,
    difference=Difference(mean=0.01, lower=0.002, champion=0.19, sessions=100),
    why_no_difference=None,
    p95_ms=5.0,
    parity_sessions=1000,
    parity_wrong=0,
    why_no_rehearsal=None,
)


def mrr(**values: float) -> Evidence:
    return replace(GOOD, mrr=values)


def lower(end: float) -> Evidence:
    return replace(GOOD, difference=Difference(mean=0.0, lower=end, champion=0.20, sessions=100))


@pytest.mark.parametrize(
    ("rule", "evidence", "passed", "reason"),
    [
        ("beats_session_popularity", GOOD, True, "above 0.1000 asked"),
        ("beats_session_popularity", mrr(gru4rec=0.1, session_popularity=0.1), False, "above 0.1000 asked"),
        ("beats_session_popularity", mrr(gru4rec=0.2), False, "session_popularity was not measured"),
        ("beats_session_popularity", mrr(session_popularity=0.2), False, "gru4rec was not measured"),
        ("stands_against_session_knn", mrr(gru4rec=0.1801, session_knn=0.2), True, "at least 0.1800 asked"),
        ("stands_against_session_knn", mrr(gru4rec=0.1799, session_knn=0.2), False, "at least 0.1800 asked"),
        ("stands_against_session_knn", mrr(gru4rec=0.2), False, "session_knn was not measured"),
        ("not_worse_than_champion", GOOD, True, "+0.0100 to version 3"),
        ("not_worse_than_champion", lower(-0.0099), True, "at least -0.0100 asked"),
        ("not_worse_than_champion", lower(-0.0101), False, "at least -0.0100 asked"),
        ("not_worse_than_champion", replace(GOOD, difference=None, why_no_difference="lost"), False, "not measured .*: lost"),
        ("not_worse_than_champion", replace(GOOD, difference=None, champion=None), True, "no champion yet"),
        ("answers_in_time", replace(GOOD, p95_ms=20.0), True, "p95 20.0 ms"),
        ("answers_in_time", replace(GOOD, p95_ms=20.1), False, "at most 20.0 ms"),
        ("answers_in_time", replace(GOOD, p95_ms=None, why_no_rehearsal="Triton is down"), False, "not measured: Triton is down"),
        ("server_and_file_agree", GOOD, True, "0 of 1,000"),
        ("server_and_file_agree", replace(GOOD, parity_wrong=1), False, "1 of 1,000"),
        ("server_and_file_agree", replace(GOOD, parity_sessions=0), False, "not compared"),
        ("server_and_file_agree", replace(GOOD, parity_wrong=None), False, "not compared"),
    ],
)
def test_verdict(rule: str, evidence: Evidence, passed: bool, reason: str) -> None:
    import re

    found: Verdict = getattr(rules, rule)(evidence, GATE)
    assert found.passed is passed
    assert re.search(reason.replace("+0", r"\+0"), found.reason)


def test_every_rule_is_asked() -> None:
    there = {
        name
        for name, value in vars(rules).items()
        if callable(value) and name[0].islower() and value.__module__ == rules.__name__
    }
    assert {rule.__name__ for rule in rules.RULES} == there


def test_nothing_measured_passes_nothing() -> None:
    blind = Evidence("gru4rec", {}, 3, None, None, None, None, None, None)
    assert not any(rule(blind, GATE).passed for rule in rules.RULES)


def test_one_no_is_named_in_the_summary() -> None:
    verdicts = {"a_rule": Verdict(True, ""), "b_rule": Verdict(False, "")}
    assert decision.summary(GOOD, verdicts, 7) == "version 7 (gru4rec), against version 3: no, because of b_rule"


def test_the_table_shows_rules_and_models_best_first() -> None:
    metrics: dict[str, dict[str, Any]] = {"session_knn": {"mrr_at_20": 0.1}, "gru4rec": {"mrr_at_20": 0.2, "recall_at_20": 0.5}}
    lines = decision.table({"a_rule": Verdict(False, "why")}, metrics, "gru4rec").splitlines()
    assert lines[2] == "| a_rule | **no** | why |"
    assert lines[6:] == ["| **gru4rec** (challenger) | 0.2000 | 0.5000 | - | - | - |", "| session_knn | 0.1000 | - | - | - | - |"]
