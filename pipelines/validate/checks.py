"""Kinds of check. Each says the same twice: as a Polars expression, and as an expectation of Great Expectations.

Nulls hold, but for NotNull: what is missing is one reason, what is wrong another. That is how GX counts, too.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import polars as pl


@dataclass(frozen=True)
class Check:
    """column: of the frame a day is judged by (see pipelines.validate.frame)."""

    column: str
    expectation: ClassVar[str]
    """Name of the class in great_expectations.expectations."""
    arguments: ClassVar[dict[str, str]] = {}
    """Our field -> the argument of that class."""

    def gx(self) -> dict[str, Any]:
        """Arguments of the expectation."""
        values = {self.arguments.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclass(frozen=True)
class RowCheck(Check):
    """A promise about one row."""

    def holds(self) -> pl.Expr:
        """Boolean, never null."""
        return (pl.col(self.column).is_null() | self.holds_for_value()).fill_null(False)

    def holds_for_value(self) -> pl.Expr:
        raise NotImplementedError


@dataclass(frozen=True)
class NotNull(RowCheck):
    expectation = "ExpectColumnValuesToNotBeNull"

    def holds(self) -> pl.Expr:
        return pl.col(self.column).is_not_null()


@dataclass(frozen=True)
class OneOf(RowCheck):
    values: tuple[Any, ...]
    expectation = "ExpectColumnValuesToBeInSet"
    arguments: ClassVar = {"values": "value_set"}

    def holds_for_value(self) -> pl.Expr:
        return pl.col(self.column).is_in(list(self.values))


@dataclass(frozen=True)
class Between(RowCheck):
    """Both bounds belong to the range, unless strictly_above."""

    low: Any = None
    high: Any = None
    strictly_above: bool = False
    expectation = "ExpectColumnValuesToBeBetween"
    arguments: ClassVar = {"low": "min_value", "high": "max_value", "strictly_above": "strict_min"}

    def holds_for_value(self) -> pl.Expr:
        value = pl.col(self.column)
        above = pl.lit(True) if self.low is None else value > self.low if self.strictly_above else value >= self.low
        return above & (pl.lit(True) if self.high is None else value <= self.high)


@dataclass(frozen=True)
class Without(RowCheck):
    """The text does not match (regular expression, found anywhere; the same in Polars and Python)."""

    regex: str
    expectation = "ExpectColumnValuesToNotMatchRegex"

    def holds_for_value(self) -> pl.Expr:
        return ~pl.col(self.column).str.contains(self.regex)


@dataclass(frozen=True)
class Like(RowCheck):
    """The text matches (regular expression with ^ and $)."""

    regex: str
    expectation = "ExpectColumnValuesToMatchRegex"

    def holds_for_value(self) -> pl.Expr:
        return pl.col(self.column).str.contains(self.regex)


@dataclass(frozen=True)
class Rows(Check):
    """Rows of the day. `column` only says what the number is about."""

    low: int | None = None
    high: int | None = None
    expectation = "ExpectTableRowCountToBeBetween"
    arguments: ClassVar = {"low": "min_value", "high": "max_value"}

    def gx(self) -> dict[str, Any]:
        return {name: value for name, value in super().gx().items() if name != "column"}


@dataclass(frozen=True)
class Columns(Check):
    """All these columns are there."""

    names: tuple[str, ...]
    expectation = "ExpectTableColumnsToMatchSet"

    def gx(self) -> dict[str, Any]:
        return {"column_set": list(self.names), "exact_match": False}


@dataclass(frozen=True)
class Type(Check):
    """The column's type by its pandas name."""

    type: str
    expectation = "ExpectColumnValuesToBeOfType"
    arguments: ClassVar = {"type": "type_"}


@dataclass(frozen=True)
class Different(Check):
    """Number of different values."""

    low: float | None = None
    high: float | None = None
    expectation = "ExpectColumnUniqueValueCountToBeBetween"
    arguments: ClassVar = {"low": "min_value", "high": "max_value"}


@dataclass(frozen=True)
class Mean(Check):
    low: float | None = None
    high: float | None = None
    expectation = "ExpectColumnMeanToBeBetween"
    arguments: ClassVar = {"low": "min_value", "high": "max_value"}


@dataclass(frozen=True)
class Median(Check):
    low: float | None = None
    high: float | None = None
    expectation = "ExpectColumnMedianToBeBetween"
    arguments: ClassVar = {"low": "min_value", "high": "max_value"}
