"""The window of a run: from the first day to the last, as set, or as the data show."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date


def derived(
    rows_per_day: Mapping[date, int], stray_share: float, stray_gap_days: int, newest: date | None = None
) -> tuple[date, date]:
    """First and last day that carry the data.

    Days form runs, with gaps of at most that many days in a run. A run with less than that share of all rows is a
    handful of wrong dates: outside. newest: no later day can be in. ValueError if that leaves no day.
    """
    possible = {day: rows for day, rows in rows_per_day.items() if newest is None or day <= newest}
    if not possible:
        raise ValueError(f"no day up to {newest}")
    runs: list[list[date]] = []
    for day in sorted(possible):
        if runs and (day - runs[-1][-1]).days <= stray_gap_days:
            runs[-1].append(day)
        else:
            runs.append([day])
    least = min(stray_share * sum(possible.values()), max(sum(possible[day] for day in run) for run in runs))
    kept = [run for run in runs if sum(possible[day] for day in run) >= least]
    return kept[0][0], kept[-1][-1]
