from datetime import date, timedelta

import pytest

from pipelines.events.window import derived

NOV = date(2026, 11, 1)
MONTH = {NOV + timedelta(days=i): 1000 for i in range(14)}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, (1, 14)),
        ({date(1970, 1, 1): 120, date(2027, 11, 3): 20}, (1, 14)),  # under 1 % of 14,000 rows: a handful
        ({date(2026, 11, 15): 9}, (1, 15)),  # the end of a night belongs to its day
        ({date(2026, 11, 21): 5}, (1, 21)),  # a gap of 7 days is none
        ({date(2026, 11, 22): 5}, (1, 14)),
    ],
)
def test_stray_days_are_outside(more: dict[date, int], expected: tuple[int, int]) -> None:
    first, last = derived(MONTH | more, 0.01, 7)
    assert (first.day, last.day) == expected


def test_two_big_parts_with_a_gap_are_one_window() -> None:
    later = {date(2026, 12, 20): 5000}
    assert derived(MONTH | later, 0.01, 7) == (NOV, date(2026, 12, 20))


def test_days_after_the_newest_possible_one_are_outside() -> None:
    assert derived(MONTH, 0.01, 7, newest=date(2026, 11, 10)) == (NOV, date(2026, 11, 10))


def test_a_single_row_is_a_window() -> None:
    assert derived({NOV: 1}, 0.01, 7) == (NOV, NOV)
