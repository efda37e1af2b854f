"""The model columns that etl makes of events: their names beside those of `pipelines.columns`, and what an index means.

price       (log(1 + price) - mean) / std, null is 0        item_age     the same of days since the item was first seen
hour_*      the time of day on a circle                     weekday_*    the day of the week on a circle, 0 is Monday
category, brand, event_type   indices, see below
"""

from __future__ import annotations

AGE = "item_age"
HOUR_SIN, HOUR_COS, WEEKDAY_SIN, WEEKDAY_COS = CYCLE = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")

PADDING, NULL, UNSEEN, RARE, FIRST_VALUE = 0, 1, 2, 3, 4
"""Indices of a categorical column: null, unseen and rare are three different things. Values with enough training events
begin at FIRST_VALUE."""

MICROSECONDS = 1_000_000
DAY_S = 86_400
MONDAY = 3
"""1970-01-01 was a Thursday: days since then plus 3, modulo 7, is 0 on a Monday."""
