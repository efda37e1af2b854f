"""The verdicts err as seldom as they say: simulated tests of two models whose true difference is known.

Sessions are correlated: each has a difficulty, and what a worse model loses it loses by whole sessions. Rates are those of
RUNS tests of SESSIONS sessions; what is allowed on top is three standard deviations of such a rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from pipelines.gate.compare import compare
from pipelines.gate.evidence import Comparison
from pipelines.gate.params import GateParams
from pipelines.gate.rules.quality import holds_against_champion, no_slice_worse, power
from tests.pipelines.gate.evidence import GATE, GOOD

RUNS, SESSIONS, SLICES = 400, 400, 5
PROMISED = 1 - GATE.confidence
ALLOWED = PROMISED + 3 * math.sqrt(PROMISED * (1 - PROMISED) / RUNS)
LOST = 1000
"""A rank behind the cutoff."""

SMALL = GATE.model_copy(update={"resamples": 1000, "min_slice_sessions": 50})
Ints = npt.NDArray[np.int64]
Simulation = tuple[pl.DataFrame, Ints]


def simulated(seed: int, challenger_loses: float = 0.0, champion_loses: float = 0.0, slice_loses: float = 0.0) -> Simulation:
    """Ranks of the two models on one test: equal but for sessions in which one finds nothing.

    challenger_loses, champion_loses  share of the sessions, and so of MRR@20, that this model loses
    slice_loses                       what the challenger loses in the first of SLICES slices
    """
    chance = np.random.default_rng(seed)
    lengths = chance.integers(1, 8, SESSIONS)
    session = np.repeat(np.arange(SESSIONS), lengths)
    difficulty = np.repeat(chance.gamma(2.0, 2.0, SESSIONS), lengths)
    ranks = [1 + chance.geometric(1 / (1 + difficulty)) - 1 for _ in range(2)]
    part = np.repeat(chance.integers(0, SLICES, SESSIONS), lengths)
    for side, share in enumerate((challenger_loses, champion_loses)):
        ranks[side] = np.where((chance.random(SESSIONS) < share)[session], LOST, ranks[side])
    ranks[0] = np.where((part == 0) & (chance.random(SESSIONS) < slice_loses)[session], LOST, ranks[0])
    names = [f"c{number}" for number in range(SLICES)]
    category = pl.Series([names[number] for number in part], dtype=pl.Enum(names))
    return pl.DataFrame({"session": session, "rank": ranks[0], "category": category}), ranks[1]


def many(gate: GateParams, **losses: float) -> list[Comparison]:
    return [compare(gate, *simulated(seed, **losses)) for seed in range(RUNS)]


def rate(gate: GateParams, found: list[Comparison], rule: Callable[..., object] = holds_against_champion) -> float:
    """Share of the tests that pass."""
    return float(np.mean([rule(replace(GOOD, comparison=one), gate).passed for one in found]))  # type: ignore[attr-defined]


def test_sessions_are_correlated_and_losses_are_what_they_say() -> None:
    frame, champion = simulated(1, challenger_loses=0.3)
    value, sessions = 1 / champion, frame["session"].to_numpy()
    means = np.bincount(sessions, weights=value) / np.bincount(sessions)
    within = value - means[sessions]
    assert means.var() > 0.5 * within.var()
    lost = np.mean([compare(SMALL, *simulated(seed, challenger_loses=0.3)).whole.share for seed in range(100)])
    assert lost == pytest.approx(-0.3, abs=0.01)


def test_better_is_said_of_an_equal_model_at_most_at_the_stated_rate() -> None:
    gate = SMALL.model_copy(update={"side": "better", "min_gain_share": 0.0})
    equal = many(gate)
    assert 0 < rate(gate, equal) <= ALLOWED
    assert rate(gate.model_copy(update={"min_gain_share": 0.1}), equal) <= rate(gate, equal)  # a minimum only makes it rarer


def test_not_worse_is_said_of_a_loss_of_the_margin_at_most_at_the_stated_rate() -> None:
    gate = SMALL.model_copy(update={"side": "not_worse", "max_loss_share": 0.1})
    assert 0 < rate(gate, many(gate, challenger_loses=0.1)) <= ALLOWED


@pytest.mark.parametrize(("side", "losses"), [("better", {"champion_loses": 1 / 11}), ("not_worse", {})])
def test_the_power_that_the_decision_reports_is_that_of_the_simulation(
    side: str, losses: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    """better: a true gain of the minimum, 10 %. not_worse: an equal model, 5 % allowed."""
    gate = SMALL.model_copy(update={"side": side, "min_gain_share": 0.1, "max_loss_share": 0.05})
    found = many(gate, **losses)
    seen, told = rate(gate, found), float(np.mean([power(one.whole, gate) for one in found]))
    with capsys.disabled():
        print(f"\n  power, {side}: {seen:.0%} of {RUNS} simulated tests of {SESSIONS} sessions pass, {told:.0%} reported")
    assert 0.2 < seen < 0.95
    assert told == pytest.approx(seen, abs=0.1)


def test_a_slice_is_refused_wrongly_at_most_at_the_stated_rate_however_many_there_are() -> None:
    """The worst case: in every slice exactly as much is lost as may be."""
    gate = SMALL.model_copy(update={"max_slice_loss_share": 0.2})
    assert 1 - rate(gate, many(gate, challenger_loses=0.2), no_slice_worse) <= ALLOWED


def test_a_slice_that_is_lost_is_found_though_the_mean_hides_it() -> None:
    gate = SMALL.model_copy(update={"max_loss_share": 0.25, "max_slice_loss_share": 0.1})
    found = many(gate, slice_loses=0.6)
    assert rate(gate, found) > 0.9
    assert rate(gate, found, no_slice_worse) < 0.1
