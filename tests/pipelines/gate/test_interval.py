"""The paired bootstrap: right in the mean, right in its spread, quick. Right in its coverage: test_simulation.py."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.errors import DataError
from pipelines.gate import interval
from pipelines.gate.interval import Difference


def all_of(sessions: npt.NDArray[np.int64]) -> list[npt.NDArray[np.bool_]]:
    return [np.ones(len(sessions), dtype=np.bool_)]


def paired(
    sessions: list[int], ours: list[float], theirs: list[float], *parts: list[bool], max_loss: float = 0.0
) -> list[Difference]:
    ids = np.array(sessions, dtype=np.int64)
    masks = [np.array(part, dtype=np.bool_) for part in parts] or all_of(ids)
    return interval.paired(ids, np.array(ours), np.array(theirs), masks, 0.95, 10_000, max_loss)


def test_reciprocal_ranks_end_at_the_cutoff() -> None:
    assert interval.reciprocal(np.array([1, 2, 20, 21, 5000])).tolist() == [1, 0.5, 0.05, 0, 0]


def test_the_difference_is_one_of_means_over_predictions() -> None:
    """Sums 2 and 1.1 of three predictions: 81.8 % more; of means of sessions it would be 1 / 0.6, 66.7 % more."""
    (found,) = paired([1, 1, 2], [1.0, 1.0, 0.0], [0.5, 0.5, 0.1])
    assert found.share == pytest.approx(2 / 1.1 - 1)
    assert (found.challenger, found.champion) == (pytest.approx(2 / 3), pytest.approx(1.1 / 3))
    assert (found.sessions, found.predictions) == (2, 3)


def test_the_interval_of_two_sessions_by_hand() -> None:
    """Gains of 1/2 and -1/2, drawn twice: -50 %, 0, +50 % with the chances 1/4, 1/2, 1/4."""
    (found,) = paired([7, 9], [1.5, 0.5], [1.0, 1.0], max_loss=0.2)
    assert (found.share, found.lower, found.upper) == (0, -0.5, 0.5)
    assert found.error == pytest.approx(math.sqrt(0.125), rel=0.02)
    assert found.p_worse == pytest.approx(0.75, abs=0.02)  # three of four samples lose no more than 20 %


def test_a_model_against_itself_differs_by_nothing() -> None:
    values = np.random.default_rng(1).random(500).tolist()
    (found,) = paired([number // 5 for number in range(500)], values, values)
    assert (found.share, found.lower, found.upper, found.error, found.p_worse) == (0, 0, 0, 0, 1)


def test_parts_are_those_of_the_same_samples() -> None:
    """A part that is the whole has its interval; a part alone has the interval of its sessions."""
    sessions, ours, theirs = [0, 0, 1, 2, 3], [1.0, 0.5, 0.2, 1.0, 0.1], [0.5, 0.5, 0.3, 0.2, 0.1]
    whole, again, single = paired(sessions, ours, theirs, [True] * 5, [True] * 5, [True, True, False, False, False])
    assert whole == again
    assert (single.share, single.sessions, single.predictions) == (0.5, 1, 2)
    # one session has no spread of its own, but (3/4)^4 of the samples lack it, and of nothing nothing is lost
    assert single.error == pytest.approx(0.5 * math.sqrt(0.316 * 0.684), abs=0.005)


def test_where_the_champion_finds_nothing_nothing_can_be_lost() -> None:
    (none,) = paired([1, 2], [0.0, 0.0], [0.0, 0.0])
    assert (none.share, none.p_worse) == (0, 1)
    (some,) = paired([1, 2], [0.5, 0.5], [0.0, 0.0])
    assert (some.share, some.lower, some.p_worse) == (math.inf, math.inf, 1)


def test_the_same_seed_gives_the_same_interval() -> None:
    chance = np.random.default_rng(1)
    rows = [number // 3 for number in range(300)], chance.random(300).tolist(), chance.random(300).tolist()
    assert paired(*rows) == paired(*rows)


@pytest.mark.parametrize("sessions", [80, 9000])
def test_the_spread_is_that_of_the_theory(sessions: int) -> None:
    """Sessions of one prediction each: the bootstrap's deviation is the standard error, within 3 %. Above 8,192 in groups."""
    values = np.random.default_rng(1).normal(size=sessions)
    drawn = interval.bootstrap(np.stack([values, np.ones(sessions)], 1), 20_000)
    means = drawn[:, 0] / drawn[:, 1]
    assert means.std() == pytest.approx(values.std() / np.sqrt(sessions), rel=0.03)
    assert means.mean() == pytest.approx(values.mean(), abs=0.1 * values.std() / np.sqrt(sessions))


def test_ten_thousand_resamples_cost_less_than_sorting_the_sessions_a_few_hundred_times() -> None:
    """A million predictions of 250,000 sessions in 20 slices, side by side with numpy's sort: 400 sorts take some 2.4 s."""
    chance = np.random.default_rng(3)
    sessions = np.arange(1_000_000) // 4
    ours, theirs, kinds = chance.random(1_000_000), chance.random(1_000_000), chance.integers(0, 20, 1_000_000)
    parts = [*all_of(sessions), *(kinds == kind for kind in range(20))]
    begin = time.process_time()
    interval.paired(sessions, ours, theirs, parts, 0.95, 10_000)
    taken, begin = time.process_time() - begin, time.process_time()
    for _ in range(4):
        np.sort(ours)
    assert taken < 100 * (time.process_time() - begin)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(DataError, match="no prediction"):
        paired([], [], [])
