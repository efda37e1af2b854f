"""What every expectation promises, by itself and before Great Expectations. A new one is tested unasked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.columns import RAW_SCHEMA, SCHEMA
from pipelines.validate.expectations import Before, Expectation, Window, of_bad_share, of_day, of_rows, of_run
from pipelines.validate.frame import with_context
from pipelines.validate.params import ValidateParams
from pipelines.validate.split import split

WINDOW = Window(date(2026, 11, 1), date(2026, 11, 2))
Settings = Callable[..., ValidateParams]

BROKEN: dict[str, dict[str, Any]] = {  # reason -> a row that has it, and nothing else wrong
    "not_utf8": {"parse_error": "not UTF-8: 'caf'"},
    "wrong_fields": {"parse_error": "6 of 9 fields"},
    "time_unreadable": {"parse_error": "timestamp: not a time: 'soon'", "timestamp": None},
    "time_missing": {"timestamp": None},
    "time_before_window": {"timestamp": datetime(2026, 10, 31, 23, 59, 59, 999_999, tzinfo=UTC)},
    "time_after_window": {"timestamp": datetime(2026, 11, 3, tzinfo=UTC)},
    "time_outside_day": {"timestamp": datetime(2026, 11, 2, tzinfo=UTC)},
    "item_unreadable": {"parse_error": "item_id: not a whole number: 'x'", "item_id": None},
    "item_missing": {"item_id": None},
    "item_negative": {"item_id": -1},
    "visitor_missing": {"session_id": None, "user_id": None},
    "event_missing": {"event_type": None},
    "event_unknown": {"event_type": "hover"},
    "price_unreadable": {"parse_error": "price: not a number: 'n/a'", "price": None},
    "price_negative": {"price": -0.01},
    "price_absurd": {"price": 100_000.01},
    "text_damaged": {"brand": "caf\ufffd"},
    "duplicate": {},
    "robot": {"session_id": "bot"},
    "source_missing": {"source_row": None},
    "price_zero": {"price": 0.0},
    "category_form": {"category": "a b"},
    "brand_form": {"brand": "x" * 101},
}
SOUND: list[dict[str, Any]] = [  # rows that nothing is wrong with
    {"session_id": None},
    {"user_id": None},
    {"price": None, "category": None, "brand": None},
    {"price": 100_000.0},
    {"item_id": 0},
    {"timestamp": datetime(2026, 11, 1, 23, 59, 59, 999_999, tzinfo=UTC)},
    {"event_type": "remove"},
]


def all_of_them(settings: ValidateParams) -> list[Expectation]:
    before = Before(rows=10, good=10, median_rows=10.0, median_price=10.0, first=False)
    return [*of_rows(settings, WINDOW, WINDOW.first), of_bad_share(settings), *of_day(settings, before), *of_run(settings)]


def broken(event: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """A good row, one of each kind of broken ones, then a repetition and a visitor of four events."""
    rows = [event(0, session_id="good")]
    rows += [
        event(i, **{"session_id": f"s{i}"} | change)
        for i, (reason, change) in enumerate(BROKEN.items(), 1)
        if change and reason != "robot"
    ]
    rows += [event(0, session_id="good", source_row=1000, raw="once more")]
    rows += [event(2000 % 700 + i, session_id="bot", source_row=2000 + i) for i in range(4)]
    return rows


def judged(event: Callable[..., dict[str, Any]], settings: Settings) -> tuple[pl.DataFrame, list[Expectation]]:
    frame = with_context(pl.DataFrame(broken(event), schema=RAW_SCHEMA))
    return frame, of_rows(settings(max_session_events=3), WINDOW, WINDOW.first)


def test_there_are_enough_and_each_has_a_reason_of_its_own(settings_of: Settings) -> None:
    expectations = all_of_them(settings_of())
    assert len(expectations) >= 14
    assert len({expectation.reason for expectation in expectations}) == len(expectations)
    assert {expectation.level for expectation in expectations} == {"row", "day", "run"}
    assert all(expectation.says and expectation.action for expectation in expectations)


def test_every_row_expectation_has_a_broken_row_here(settings_of: Settings) -> None:
    assert {e.reason for e in of_rows(settings_of(), WINDOW, WINDOW.first)} == set(BROKEN)


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_row_gets_its_reason(reason: str, event: Callable[..., dict[str, Any]], settings_of: Settings) -> None:
    frame, expectations = judged(event, settings_of)
    found = split(frame, expectations)
    (expectation,) = [e for e in expectations if e.reason == reason]
    expected = {"robot": 4, "price_zero": 0, "category_form": 0, "brand_form": 0}.get(reason, 1)
    assert found.reasons.get(reason, 0) == expected
    assert found.warned.get(reason, 0) == (1 if expectation.severity == "warning" else 0)


@pytest.mark.parametrize("change", SOUND, ids=str)
def test_a_sound_row_passes(change: dict[str, Any], event: Callable[..., dict[str, Any]], settings_of: Settings) -> None:
    frame = with_context(pl.DataFrame([event(0, **change)], schema=RAW_SCHEMA))
    found = split(frame, of_rows(settings_of(), WINDOW, WINDOW.first))
    assert (found.reasons, found.warned) == ({}, {})


def test_the_first_reason_wins_and_no_row_is_lost(event: Callable[..., dict[str, Any]], settings_of: Settings) -> None:
    rows = [event(0), event(1, item_id=None, price=-1.0, event_type="hover")]
    found = split(with_context(pl.DataFrame(rows, schema=RAW_SCHEMA)), of_rows(settings_of(), WINDOW, WINDOW.first))
    assert found.reasons == {"item_missing": 1}
    assert {reason for reason, count in found.failing.items() if count} == {
        "item_missing",
        "price_negative",
        "price_zero",
        "event_unknown",
    }
    assert (list(found.good.columns), len(found.good), found.bad.to_list()) == (list(SCHEMA), 1, [0, 1])
    assert found.quarantined["raw"].to_list() == ["text of row 2"]
    assert found.quarantined["expectation"].to_list() == ["there is an item"]


def test_great_expectations_counts_what_polars_splits(
    event: Callable[..., dict[str, Any]], settings_of: Settings, tmp_path: Path
) -> None:
    from pipelines.validate.suite import Suites

    frame, expectations = judged(event, settings_of)
    found = split(frame, expectations)
    outcomes = Suites(tmp_path).run("rows", "2026-11-01", frame, expectations)
    assert {outcome.expectation.reason: outcome.count for outcome in outcomes} == found.failing
    assert all(count > 0 for count in found.failing.values())
    assert [outcome.error for outcome in outcomes] == [None] * len(outcomes)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("volume_low", {"min_day_rows": 901}),
        ("volume_change", {}),
        ("session_length", {"min_session_events": 3.1}),
        ("session_length", {"max_mean_session_events": 2.9}),
        ("items_few", {"min_day_items": 21}),
        ("hours_few", {"min_hours": 16}),
        ("views_few", {"min_view_share": 1.0}),
        ("item_churn", {"max_new_item_share": 0.0}),
        ("price_shift", {}),
    ],
)
def test_a_day_that_is_not_as_expected_is_found(
    reason: str, change: dict[str, Any], good_day: Callable[..., list[dict[str, Any]]], settings_of: Settings, tmp_path: Path
) -> None:
    """900 rows, 3 to a session, 20 items, 15 hours, price 10: every expectation holds, until its bound is moved."""
    from pipelines.validate.frame import with_summary
    from pipelines.validate.suite import Suites

    rows = good_day()
    rows[0]["event_type"] = "cart"
    good = pl.DataFrame(rows, schema=RAW_SCHEMA).select(list(SCHEMA))
    seen = pl.Series(range(19), dtype=pl.Int64)  # the last of the twenty items is new
    suites = Suites(tmp_path)
    before = Before(900, 900, 900.0, 10.0, False)
    moved = Before(900, 900, 2704.0 if reason == "volume_change" else 900.0, 4.9 if reason == "price_shift" else 10.0, False)
    fine = suites.run("fine", "2026-11-01", with_summary(good, seen), of_day(settings_of(), before))
    wrong = suites.run("wrong", "2026-11-01", with_summary(good, seen), of_day(settings_of(**change), moved))
    assert [outcome.expectation.reason for outcome in fine if not outcome.success] == []
    assert [outcome.expectation.reason for outcome in wrong if not outcome.success] == [reason]
    assert [outcome.error for outcome in wrong] == [None] * len(wrong)


def test_types_are_checked_by_great_expectations(
    good_day: Callable[..., list[dict[str, Any]]], settings_of: Settings, tmp_path: Path
) -> None:
    from pipelines.validate.frame import with_summary
    from pipelines.validate.suite import Suites

    rows = with_summary(pl.DataFrame(good_day(), schema=RAW_SCHEMA), pl.Series([], dtype=pl.Int64))
    rows = rows.with_columns(pl.col("item_id").cast(pl.Float64), pl.col("price").cast(pl.Int64)).drop("brand")
    outcomes = Suites(tmp_path).run("day", "2026-11-01", rows, of_day(settings_of(), Before(900, 900, 900.0, None, True)))
    failed = {outcome.expectation.reason for outcome in outcomes if not outcome.success}
    assert failed == {"columns", "item_type", "price_type"}
