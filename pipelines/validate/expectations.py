"""The one list of expectations. Polars splits the rows by it, Great Expectations reports by it.

To add one: a line here, with a reason code of its own; the contract tests take it up by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock
from typing import Literal
from zoneinfo import ZoneInfo

from pipelines.columns import BRAND, CATEGORY, EVENT, ITEM, PARSE_ERROR, PRICE, ROW, SCHEMA, TIME
from pipelines.validate.checks import (
    Between,
    Check,
    Columns,
    Different,
    Like,
    Mean,
    Median,
    NotNull,
    OneOf,
    RowCheck,
    Rows,
    Type,
    Without,
)
from pipelines.validate.frame import AGAIN, BAD, DAY, HOUR, NEW_ITEM, RUN_BAD_SHARE, RUN_ROWS, TEXTS, VIEW, VISIT_EVENTS, VISITOR
from pipelines.validate.params import ValidateParams

Severity = Literal["critical", "warning"]
Level = Literal["row", "day", "run"]
UTC = ZoneInfo("UTC")


@dataclass(frozen=True)
class Expectation:
    """reason: the code in quarantine, counts and pages. says: the promise, for people. action: what to do if it fails."""

    reason: str
    says: str
    severity: Severity
    level: Level
    check: Check
    action: str = "look at the rows in data/quarantine; mend and replay them, or correct the source"

    @property
    def row_check(self) -> RowCheck:
        assert isinstance(self.check, RowCheck), f"{self.reason} is no check of rows"
        return self.check


@dataclass(frozen=True)
class Window:
    """First and last day that carry the data."""

    first: date
    last: date

    @property
    def begin(self) -> datetime:
        return datetime.combine(self.first, clock.min, UTC)

    @property
    def end(self) -> datetime:
        """The last microsecond."""
        return datetime.combine(self.last + timedelta(days=1), clock.min, UTC) - timedelta(microseconds=1)


def of_rows(validate: ValidateParams, window: Window, day: date | None) -> list[Expectation]:
    """Row by row, on all rows of a day; the first critical one that fails gives the reason. day None: outside the window."""

    def critical(reason: str, says: str, check: Check) -> Expectation:
        return Expectation(reason, says, "critical", "row", check)

    def warning(reason: str, says: str, check: Check) -> Expectation:
        return Expectation(reason, says, "warning", "row", check)

    inside = [critical("time_outside_day", "the time lies in the day of its partition", OneOf(DAY, (str(day),)))] if day else []
    return [
        critical("not_utf8", "the row is UTF-8", Without(PARSE_ERROR, r"^not UTF-8")),
        critical(
            "wrong_fields",
            "the row has all its fields, and no more",
            Without(PARSE_ERROR, r"^(?:\d+ of \d+ fields|empty line|not JSON)"),
        ),
        critical("time_unreadable", "the time can be read", Without(PARSE_ERROR, rf"(?:^|; ){TIME}: ")),
        critical("time_missing", "there is a time", NotNull(TIME)),
        critical("time_before_window", "the time is not before the window", Between(TIME, low=window.begin)),
        critical("time_after_window", "the time is not after the window (in the future)", Between(TIME, high=window.end)),
        *inside,
        critical("item_unreadable", "the item id can be read", Without(PARSE_ERROR, rf"(?:^|; ){ITEM}: ")),
        critical("item_missing", "there is an item", NotNull(ITEM)),
        critical("item_negative", "the item id is not negative", Between(ITEM, low=0)),
        critical("visitor_missing", "there is a session or a user", NotNull(VISITOR)),
        critical("event_missing", "there is an event type", NotNull(EVENT)),
        critical("event_unknown", "the event type is known", OneOf(EVENT, tuple(validate.event_types))),
        critical("price_unreadable", "the price can be read", Without(PARSE_ERROR, rf"(?:^|; ){PRICE}: ")),
        critical("price_negative", "the price is not negative", Between(PRICE, low=0.0)),
        critical("price_absurd", "the price can be believed", Between(PRICE, high=validate.max_price)),
        critical("text_damaged", "no text holds U+FFFD, the mark of a broken conversion", Without(TEXTS, "\ufffd")),
        critical("duplicate", "the event is no exact repetition of an earlier row", OneOf(AGAIN, (False,))),
        critical("robot", "the session is short enough for a person", Between(VISIT_EVENTS, high=validate.max_session_events)),
        critical("source_missing", "the row knows where it came from", NotNull(ROW)),
        warning("price_zero", "the price is above zero", Between(PRICE, low=0.0, strictly_above=True)),
        warning("category_form", "the category is a dotted path", Like(CATEGORY, r"^[^.\s]+(?:\.[^.\s]+)*$")),
        warning("brand_form", "the brand is short", Like(BRAND, r"^.{1,100}$")),
    ]


@dataclass(frozen=True)
class Before:
    """What is known when a day is judged. None: nothing to compare with."""

    rows: int
    """Rows of this day that came in."""
    good: int
    """Rows of this day that are good."""
    median_rows: float
    """Rows of the median day of the window."""
    median_price: float | None
    """Median price of the last day that had prices."""
    first: bool
    """No earlier day to compare the items with."""


def of_day(validate: ValidateParams, before: Before) -> list[Expectation]:
    """On the good rows of a day."""

    def critical(reason: str, says: str, check: Check, action: str) -> Expectation:
        return Expectation(reason, says, "critical", "day", check, action)

    def warning(reason: str, says: str, check: Check) -> Expectation:
        return Expectation(reason, says, "warning", "day", check)

    ratio, price = validate.max_volume_ratio, before.median_price
    again = "run events again: these are not the rows it writes"
    fewer = "find out why the day is (almost) empty; lower validate.min_day_rows, or move events.first_day and last_day"
    few, many = int(before.median_rows / ratio), int(before.median_rows * ratio)
    found = [
        critical("columns", "all columns are there", Columns("", tuple(SCHEMA)), again),
        critical("volume_low", "the day has enough good rows", Rows("rows", low=validate.min_day_rows), fewer),
        warning("volume_change", "the day is about as busy as the median day", Rows("rows", low=few, high=many)),
    ]
    if not before.good:
        return found
    low, high = before.good / validate.max_mean_session_events, before.good / validate.min_session_events
    found += [
        critical("item_type", "items are whole numbers", Type(ITEM, "int64"), again),
        critical("time_type", "times are times in UTC", Type(TIME, "Timestamp"), again),
        critical("price_type", "prices are numbers", Type(PRICE, "float64"), again),
        warning("session_length", "sessions are neither torn nor glued together", Different(VISITOR, low=low, high=high)),
        warning("items_few", "the day has enough different items", Different(ITEM, low=validate.min_day_items)),
        warning("hours_few", "the day has no long silence", Different(HOUR, low=validate.min_hours)),
        warning("views_few", "most events are views", Mean(VIEW, low=validate.min_view_share)),
    ]
    if not before.first:
        found.append(
            warning("item_churn", "most items were seen on an earlier day", Mean(NEW_ITEM, high=validate.max_new_item_share))
        )
    if price is not None:
        bounds = Median(PRICE, low=price / validate.max_price_ratio, high=price * validate.max_price_ratio)
        found.append(warning("price_shift", "prices are about those of the day before", bounds))
    return found


def of_bad_share(validate: ValidateParams) -> Expectation:
    """On all rows of a day: the share that is quarantined."""
    return Expectation(
        "bad_share",
        "not too many rows of the day are quarantined",
        "critical",
        "day",
        Mean(BAD, high=validate.max_bad_share),
        "correct the source, mend and replay the rows, or, if they may be lost, raise validate.max_bad_share",
    )


def of_run(validate: ValidateParams) -> list[Expectation]:
    """On one row per day of the window."""
    return [
        Expectation("day_missing", "no day of the window is without rows", "warning", "run", Between(RUN_ROWS, low=1)),
        Expectation(
            "run_bad_share",
            "not too many of all rows are quarantined, those outside the window included",
            "critical",
            "run",
            Between(RUN_BAD_SHARE, high=validate.max_bad_share),
            "correct the source or set events.first_day and last_day; if the rows may be lost, raise validate.max_bad_share",
        ),
    ]
