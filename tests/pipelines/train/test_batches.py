from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.train.batches import Part, by_size, cuts, plan

NUMBERS = np.arange(100, 1100)
LENGTHS = np.arange(1000) % 7 + 2


def planned(batch_events: int = 80, seed: int = 0) -> list[Part]:
    return plan(NUMBERS, LENGTHS, batch_events, torch.Generator().manual_seed(seed))


def test_every_session_is_in_one_batch() -> None:
    assert np.sort(np.concatenate([part.sessions for part in planned()])).tolist() == NUMBERS.tolist()


def test_a_batch_knows_its_events_targets_and_longest_session() -> None:
    for part in planned():
        lengths = LENGTHS[part.sessions - 100]
        assert (part.events, part.longest) == (lengths.sum(), lengths.max())
        assert part.targets == (lengths - 1).sum()
        assert part.places == len(lengths) * lengths.max()


def test_no_batch_is_larger_than_allowed_and_few_are_much_smaller() -> None:
    places = [part.places for part in planned(80)]
    assert max(places) <= 80
    assert sum(place > 70 for place in places) > 0.9 * len(places)


def test_little_is_padding() -> None:
    parts = planned(80)
    assert 1 - LENGTHS.sum() / sum(part.places for part in parts) < 0.03  # cut at random, a third would be


def test_cuts_by_hand() -> None:
    falling = np.array([9, 5, 5, 4, 3, 2])
    assert [(cut.start, cut.stop) for cut in cuts(falling, 10)] == [(0, 1), (1, 3), (3, 5), (5, 6)]
    assert [(cut.start, cut.stop) for cut in cuts(falling, 1)] == [(place, place + 1) for place in range(6)]


def test_the_order_depends_on_the_seed_alone() -> None:
    first, again, other = (np.concatenate([part.sessions for part in planned(seed=seed)]) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


def test_nothing_to_plan() -> None:
    assert plan(NUMBERS[:0], LENGTHS[:0], 80, torch.Generator()) == []


@pytest.mark.parametrize(("events", "expected"), [(1_000, 256), (300_000, 1_000), (50_000_000, 4_096)])
def test_batches_grow_with_the_data_within_bounds(events: int, expected: int) -> None:
    assert by_size(events) == expected
