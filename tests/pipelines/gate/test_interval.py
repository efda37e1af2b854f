"""The paired bootstrap: right in the mean, right in its coverage, quick."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pipelines.errors import DataError
from pipelines.gate import interval


def test_reciprocal_ranks_end_at_the_cutoff() -> None:
    assert interval.reciprocal(np.array([1, 2, 20, 21, 5000])).tolist() == [1, 0.5, 0.05, 0, 0]


def test_the_difference_is_the_mean_over_predictions() -> None:
    """Session 1: +0.5, +0.5; session 2: -0.1. Mean of three: 0.3; of two session means it would be 0.2."""
    found = interval.paired(np.array([1, 1, 2]), np.array([1.0, 1.0, 0.0]), np.array([0.5, 0.5, 0.1]), 0.95, 10_000)
    assert found.mean == pytest.approx(0.3)
    assert found.champion == pytest.approx(1.1 / 3)
    assert found.sessions == 2


def test_a_model_against_itself_differs_by_nothing() -> None:
    values = np.random.default_rng(1).random(500)
    found = interval.paired(np.arange(500) // 5, values, values, 0.95, 10_000)
    assert (found.mean, found.lower) == (0, 0)


def test_the_same_seed_gives_the_same_interval() -> None:
    chance = np.random.default_rng(1)
    rows = np.arange(300) // 3, chance.random(300), chance.random(300)
    assert interval.paired(*rows, 0.95, 10_000) == interval.paired(*rows, 0.95, 10_000)


@pytest.mark.parametrize("sessions", [80, 9000])
def test_the_spread_is_that_of_the_theory(sessions: int) -> None:
    """Sessions of one prediction each: the bootstrap's deviation is the standard error, within 3 %. Above 8,192 in groups."""
    values = np.random.default_rng(1).normal(size=sessions)
    drawn = interval.bootstrap(values, np.ones(sessions), 20_000)
    assert drawn.std() == pytest.approx(values.std() / np.sqrt(sessions), rel=0.03)
    assert drawn.mean() == pytest.approx(values.mean(), abs=0.1 * values.std() / np.sqrt(sessions))


def test_the_lower_end_is_below_the_truth_as_often_as_it_says() -> None:
    """400 experiments, 100 sessions of 1 to 8 dependent predictions, true difference 0.02: 95 % +- 3 points are covered."""
    chance = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        lengths = chance.integers(1, 9, 100)
        sessions = np.repeat(np.arange(100), lengths)
        shared = chance.normal(0.02, 0.2, 100)[sessions]
        gain = shared + chance.normal(0, 0.1, len(sessions))
        covered += interval.paired(sessions, gain, np.zeros(len(gain)), 0.95, 1000).lower <= 0.02
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_ten_thousand_resamples_of_fifty_thousand_sessions_take_under_two_seconds() -> None:
    chance = np.random.default_rng(3)
    sessions = np.arange(200_000) // 4
    ours, theirs = chance.random(200_000), chance.random(200_000)
    begin = time.process_time()
    interval.paired(sessions, ours, theirs, 0.95, 10_000)
    assert time.process_time() - begin < 2


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(DataError, match="no prediction"):
        interval.paired(np.array([], int), np.array([]), np.array([]), 0.95, 10_000)
