"""Truth tables of the rules: passes, fails, not measured; and what counts without a champion."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from pipelines.gate import rules
from pipelines.gate.evidence import Drift, Drifts, Evidence, Health, Missing, Parity, Service, Table, Verdict
from pipelines.gate.rules.quality import holm, power
from tests.pipelines.gate.evidence import ALONE, BLIND, GATE, GOOD, LISTS, NO, difference, metric, mrr, slices, whole

BETTER = GATE.model_copy(update={"side": "better", "min_gain_share": 0.02})
RULES = {rule.__name__: rule for rule in rules.RULES}
NAN = float("nan")


def drift(*columns: Drift) -> Evidence:
    return replace(GOOD, drifts=Drifts(columns, ()))


def table(cosine: float, rank: float) -> Evidence:
    return replace(GOOD, health=Health((2.0,), Table(1000, 128, cosine, rank)))


def health(losses: tuple[float, ...], item_vectors: Table | Missing | None = None) -> Evidence:
    return replace(GOOD, health=Health(losses, item_vectors))


def served(p50_ms: float, p95_ms: float, memory_mb: float | Missing = 100.0) -> Evidence:
    return replace(GOOD, service=Service(p50_ms, p95_ms, memory_mb))


COUNTING = health((), None)

TRUTH: list[tuple[str, Evidence, bool, str]] = [
    ("beats_session_popularity", GOOD, True, "above 0.1000 asked"),
    ("beats_session_popularity", mrr(gru4rec=0.1, session_popularity=0.1), False, "above 0.1000 asked"),
    ("beats_session_popularity", mrr(gru4rec=0.2), False, "session_popularity was not measured"),
    ("beats_session_popularity", mrr(session_popularity=0.2), False, "gru4rec was not measured"),
    ("stands_against_session_knn", mrr(gru4rec=0.1801, session_knn=0.2), True, "at least 0.1800 asked"),
    ("stands_against_session_knn", mrr(gru4rec=0.1799, session_knn=0.2), False, "at least 0.1800 asked"),
    ("stands_against_session_knn", mrr(gru4rec=0.2), False, "session_knn was not measured"),
    ("holds_against_champion", GOOD, True, "+5.0% to version 3 (95% sure of +1.0% or more"),
    ("holds_against_champion", whole(share=-0.02, lower=-0.0499), True, "at least -5.0% asked"),
    ("holds_against_champion", whole(share=-0.02, lower=-0.0501), False, "at least -5.0% asked"),
    ("holds_against_champion", whole(share=NAN, lower=NAN), False, "nan"),
    (
        "holds_against_champion",
        replace(GOOD, comparison=NO),
        False,
        "(version 3) was not measured on these sessions: nobody looked",
    ),
    ("holds_against_champion", ALONE, True, "no champion yet"),
    ("no_slice_worse", GOOD, True, "in 1 slices, lowest day 2026-11-14 +5.0%; not judged, under 100 sessions: category toys"),
    ("no_slice_worse", slices(0.04), False, "more than 10% lost in category c0 -20.0%"),
    ("no_slice_worse", slices(0.06), True, "nowhere surely"),
    ("no_slice_worse", slices(0.04, 0.9), True, "nowhere surely"),  # of two, one is below 0.05 by chance more often
    ("no_slice_worse", slices(0.9, 0.024, 0.04), True, "nowhere surely"),
    ("no_slice_worse", slices(0.016, 0.9, 0.024), False, "category c0 -20.0%, category c2 -20.0%"),
    ("no_slice_worse", slices(None, None), False, "none was judged"),
    ("no_slice_worse", replace(GOOD, comparison=NO), False, "nobody looked"),
    ("no_slice_worse", ALONE, True, "no champion yet"),
    ("shows_many_items", GOOD, True, "80.0% of all items are shown, by the champion 80.0% (at least 60.0%)"),
    ("shows_many_items", metric(coverage_at_20=0.599), False, "(at least 60.0%)"),
    ("shows_many_items", metric(ALONE, coverage_at_20=0.599), True, "(at least 10%)"),
    ("shows_many_items", metric(ALONE, coverage_at_20=0.099), False, "(at least 10%)"),
    ("shows_many_items", metric(coverage_at_20=None), False, "coverage of gru4rec was not measured"),
    ("shows_many_items", metric(model="champion", coverage_at_20=None), False, "of the champion (version 3) was not measured"),
    ("shows_rare_items", metric(mean_popularity_at_20=0.125), True, "(at most 0.125)"),
    ("shows_rare_items", metric(mean_popularity_at_20=0.126), False, "the champion's 0.100 (at most 0.125)"),
    ("shows_rare_items", metric(ALONE, mean_popularity_at_20=0.126), True, "(at most 0.50)"),
    ("shows_rare_items", metric(ALONE, mean_popularity_at_20=0.51), False, "(at most 0.50)"),
    ("shows_rare_items", metric(mean_popularity_at_20=None), False, "mean popularity of gru4rec was not measured"),
    ("shows_rare_items", metric(model="champion", mean_popularity_at_20=None), False, "was not measured"),
    ("shows_items_evenly", metric(gini_at_20=0.75), True, "Gini of exposure 0.750"),
    ("shows_items_evenly", metric(gini_at_20=0.76), False, "the champion's 0.600 (at most 0.750)"),
    ("shows_items_evenly", metric(ALONE, gini_at_20=0.96), False, "(at most 0.95)"),
    ("shows_items_evenly", metric(gini_at_20=None), False, "was not measured"),
    ("mixes_lists", GOOD, True, "10.0% of the places"),
    ("mixes_lists", metric(repeat_share_at_20=0.51), False, "51.0% of the places"),
    ("mixes_lists", metric(overlap_at_20=0.51), False, "two lists share 51.0%"),
    ("mixes_lists", metric(overlap_at_20=None), False, "repetition of gru4rec was not measured"),
    ("mixes_lists", metric(repeat_share_at_20=None), False, "was not measured"),
    ("answers_in_time", served(25.0, 50.0), True, "p95 50.0 ms"),
    ("answers_in_time", served(25.1, 40.0), False, "at most 25.0 ms and 50.0 ms"),
    ("answers_in_time", served(5.0, 50.1), False, "at most 25.0 ms and 50.0 ms"),
    ("answers_in_time", replace(GOOD, service=Missing("Triton is down")), False, "not measured: Triton is down"),
    ("as_quick_as_champion", served(6.0, 15.0), True, "p50 6.0 ms to 2.0 ms, p95 15.0 ms to 5.0 ms of version 3"),
    ("as_quick_as_champion", served(6.1, 5.0), False, "at most 3 times"),
    ("as_quick_as_champion", served(2.0, 15.1), False, "at most 3 times"),
    ("as_quick_as_champion", replace(GOOD, service=NO), False, "latency in Triton was not measured: nobody looked"),
    ("as_quick_as_champion", replace(GOOD, champion_service=NO), False, "the champion's latency was not measured: nobody looked"),
    ("as_quick_as_champion", ALONE, True, "no champion yet"),
    ("fits_in_memory", served(1, 1, 180.0), True, "version 3 takes 90 MB"),
    ("fits_in_memory", served(1, 1, 181.0), False, "at most 2 times"),
    ("fits_in_memory", served(1, 1, 4001.0), False, "4001 MB (at most 4000 MB)"),
    ("fits_in_memory", replace(ALONE, service=Service(1, 1, 181.0)), True, "181 MB (at most 4000 MB)"),
    ("fits_in_memory", replace(ALONE, service=Service(1, 1, 4001.0)), False, "4001 MB"),
    ("fits_in_memory", served(1, 1, NO), False, "memory was not measured: nobody looked"),
    ("fits_in_memory", replace(GOOD, champion_service=Service(1, 1, NO)), False, "champion's memory was not measured: nobody"),
    ("fits_in_memory", replace(GOOD, champion_service=NO), False, "champion's memory was not measured: nobody"),
    ("server_and_file_agree", GOOD, True, "0 of 1,000"),
    ("server_and_file_agree", replace(GOOD, parity=Parity(1000, 1)), False, "1 of 1,000"),
    ("server_and_file_agree", replace(GOOD, parity=Parity(999, 0)), False, "on 999 sessions only (1,000 asked)"),
    ("server_and_file_agree", metric(replace(GOOD, parity=Parity(40, 0)), sessions=40), True, "0 of 40"),
    ("server_and_file_agree", metric(replace(GOOD, parity=Parity(39, 0)), sessions=40), False, "(40 asked)"),
    ("server_and_file_agree", replace(GOOD, parity=NO), False, "not compared: nobody looked"),
    ("test_days_are_like_training_days", GOOD, True, "0 of 2 columns have drifted, most category (PSI 0.05)"),
    ("test_days_are_like_training_days", GOOD, True, "not in the data: brand"),
    (
        "test_days_are_like_training_days",
        drift(Drift("price", 0.26, 0.001)),
        False,
        "1 of 1 columns have drifted, price (PSI 0.26)",
    ),
    ("test_days_are_like_training_days", drift(Drift("price", 0.26, 0.2)), True, "0 of 1"),  # few rows: large by chance
    ("test_days_are_like_training_days", drift(Drift("price", 0.24, 0.0)), True, "0 of 1"),  # many rows: small, but sure
    ("test_days_are_like_training_days", drift(Drift("brand", 0.26, None)), False, "brand (PSI 0.26)"),
    ("test_days_are_like_training_days", replace(GOOD, drifts=Drifts((), ("price",))), False, "have none of the columns price"),
    ("test_days_are_like_training_days", replace(GOOD, drifts=NO), False, "not measured: nobody looked"),
    ("knows_the_items", GOOD, True, "5.0% of the test events"),
    ("knows_the_items", metric(unseen_share=0.21), False, "at most 20%"),
    ("knows_the_items", metric(unseen_share=None), False, "was not measured"),
    ("loss_is_finite", GOOD, True, "finite in all 2 epochs, 5.000 to 3.000"),
    ("loss_is_finite", health((5.0, NAN), NO), False, "the loss of epoch 2 of 2 is nan"),
    ("loss_is_finite", health((math.inf, 3.0), NO), False, "the loss of epoch 1 of 2 is inf"),
    ("loss_is_finite", health((), NO), False, "wrote down no loss"),
    ("loss_is_finite", COUNTING, True, "the model counts"),
    ("loss_is_finite", replace(GOOD, health=NO), False, "nobody looked"),
    ("items_differ", GOOD, True, "effective rank 100 of 128"),
    ("items_differ", table(0.91, 100), False, "mean cosine 0.91 (at most 0.9)"),
    ("items_differ", table(0.1, 12.7), False, "effective rank 13 of 128 (at least 10%)"),
    ("items_differ", table(NAN, NAN), False, "nan"),
    ("items_differ", health((2.0,), NO), False, "not looked at: nobody looked"),
    ("items_differ", health((2.0,), None), False, "must have item vectors"),
    ("items_differ", COUNTING, True, "the model counts"),
    ("items_differ", replace(GOOD, health=NO), False, "nobody looked"),
]


@pytest.mark.parametrize(("rule", "evidence", "passed", "reason"), TRUTH)
def test_verdict(rule: str, evidence: Evidence, passed: bool, reason: str) -> None:
    found: Verdict = RULES[rule](evidence, GATE)
    assert found.passed is passed
    assert reason in found.reason


def test_every_rule_has_rows_that_pass_that_fail_and_that_were_not_measured() -> None:
    for name, rule in RULES.items():
        assert {passed for row, _, passed, _ in TRUTH if row == name} == {True, False}
        assert not rule(BLIND, GATE).passed
        assert rule(GOOD, GATE).passed


def test_without_a_champion_only_floors_and_absolute_limits_count() -> None:
    assert all(rule(ALONE, GATE).passed for rule in rules.RULES)


@pytest.mark.parametrize(
    ("evidence", "passed"),
    [
        (whole(share=0.02, lower=0.001), True),
        (whole(share=0.019, lower=0.001), False),  # surely better, but by too little
        (whole(share=0.05, lower=0.0), False),  # much better, but not surely
        (replace(GOOD, comparison=NO), False),
    ],
)
def test_better_asks_for_a_sure_gain_of_some_size(evidence: Evidence, passed: bool) -> None:
    assert RULES["holds_against_champion"](evidence, BETTER).passed is passed


def test_power_by_hand() -> None:
    """z(0.95) = 1.645. An error of 2 %: an equal model passes with P(z < (5 - 3.29) / 2 = 0.855) = 80.4 %."""
    assert power(difference(error=0.02), GATE) == pytest.approx(0.804, abs=0.001)
    assert power(difference(error=0.0), GATE) == 1
    # better: 3.29 % must be measured at an error of 2 %; a true 2 % shows that with P(z < -0.645) = 25.9 %
    assert power(difference(error=0.02), BETTER) == pytest.approx(0.259, abs=0.001)
    assert power(difference(error=0.005), BETTER) == pytest.approx(0.5)  # more than 2 % are asked of the measure too


def test_memory_is_left_out_only_where_the_settings_say_so() -> None:
    found = RULES["fits_in_memory"](replace(GOOD, service=NO), GATE.model_copy(update={"max_memory_mb": None}))
    assert found == Verdict(True, "not judged: gate.max_memory_mb is empty")


@pytest.mark.parametrize(
    ("p_values", "rejected"),
    [
        ([0.05], [True]),
        ([0.04, 0.026], [False, False]),
        ([0.04, 0.025], [True, True]),  # after the first only one is left: 0.04 < 0.05
        ([0.01, 0.06, 0.02], [True, False, True]),  # against 0.0167, 0.025, 0.05
        ([0.01, 0.04, 0.03], [True, False, False]),  # 0.03 is not below 0.025: 0.04 is not looked at
        ([], []),
    ],
)
def test_holm_by_hand(p_values: list[float], rejected: list[bool]) -> None:
    assert holm(p_values, 0.05) == rejected


def test_lists_are_judged_by_what_evaluate_measures() -> None:
    import torch

    from pipelines import metrics

    assert set(LISTS) == set(metrics.Shown(torch.tensor([0, 1, 2])).summary())
