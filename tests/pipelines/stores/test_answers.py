"""When two answers are the same: scores within the tolerance, items in the same order but for ties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.stores.answers import NO_ITEM, Answers, Ids, differences, pad, read_golden, write_golden


def answer(ids: list[int], scores: list[float], fallback: bool = False) -> Answers:
    return Answers(np.array([ids]), np.array([scores], dtype=np.float32), np.array([[fallback]]))


EXPECTED = answer([1, 2, 3, 4], [9.0, 5.0, 5.0, 1.0])


@pytest.mark.parametrize(
    ("ids", "scores", "same"),
    [
        ([1, 2, 3, 4], [9.0, 5.0, 5.0, 1.0], True),
        ([1, 3, 2, 4], [9.0, 5.0, 5.0, 1.0], True),  # 2 and 3 are equal
        ([1, 2, 3, 8], [9.0, 5.0, 5.0, 1.0], True),  # 8 may be as good as 4, which was last
        ([2, 1, 3, 4], [9.0, 5.0, 5.0, 1.0], False),
        ([8, 2, 3, 4], [9.0, 5.0, 5.0, 1.0], False),
        ([1, 2, 2, 4], [9.0, 5.0, 5.0, 1.0], False),
        ([1, 2, 3, 4], [9.0005, 5.0, 5.0, 1.0], True),  # 5.6e-5 of 9
        ([1, 2, 3, 4], [9.001, 5.0, 5.0, 1.0], False),
        ([1, 2, 3, 4], [float("nan"), 5.0, 5.0, 1.0], False),
    ],
)
def test_same_or_not(ids: list[int], scores: list[float], same: bool) -> None:
    wrong, _ = differences(EXPECTED, answer(ids, scores))
    assert wrong.tolist() == [not same]


def test_places_without_an_item_are_equal() -> None:
    few = answer([1, NO_ITEM], [2.0, -np.inf])
    wrong, apart = differences(few, few)
    assert not wrong.any()
    assert apart == 0


def test_another_fallback_or_width_is_a_difference() -> None:
    assert differences(EXPECTED, answer([1, 2, 3, 4], [9.0, 5.0, 5.0, 1.0], fallback=True))[0].all()
    assert differences(EXPECTED, answer([1, 2], [9.0, 5.0]))[0].all()


def test_padding_keeps_the_most_recent_events() -> None:
    assert pad([[1, 2, 3, 4], [], [5]], 3).tolist() == [[2, 3, 4], [-1, -1, -1], [5, -1, -1]]


@pytest.mark.parametrize("more", [{}, {"timestamps": pad([[7], [8]], 3, 0), "event_types": pad([[5], [6]], 3, 0)}])
def test_golden_sessions_come_back(tmp_path: Path, more: dict[str, Ids]) -> None:
    request, expected = (
        {"item_ids": pad([[1], [2]], 3), **more},
        Answers(
            np.array([[7, NO_ITEM], [8, 9]]),
            np.array([[0.1, -np.inf], [0.2, 0.1]], dtype=np.float32),
            np.array([[True], [False]]),
        ),
    )
    write_golden(tmp_path / "golden.json", request, expected)
    again, found = read_golden(tmp_path / "golden.json")
    assert list(again) == list(request)
    for name, values in request.items():
        np.testing.assert_array_equal(again[name], values)
    for name in ("ids", "scores", "fallback"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
