"""Day by day: split, write, let Great Expectations judge; then the pages, and the verdict."""

from __future__ import annotations

import json
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pipelines import paths
from pipelines.columns import FILE, ITEM, PRICE, RAW, RAW_SCHEMA, ROW
from pipelines.errors import DataError
from pipelines.stage import Report
from pipelines.stores.folder import replaced
from pipelines.stores.quarantine import SUMMARY
from pipelines.validate import expectations, pages
from pipelines.validate.expectations import Before, Window
from pipelines.validate.frame import REASON, RUN_BAD_SHARE, RUN_ROWS, with_context, with_summary
from pipelines.validate.params import ValidateParams
from pipelines.validate.split import Split, split
from pipelines.validate.suite import Outcome, Suites

OUTSIDE = "outside"
"""Rows without a date, and of days outside the window: judged together."""
JUDGED_OUTSIDE = 1_000_000
"""So many of them at most are shown to GX; all are counted and quarantined."""
RUN = "run"
SAMPLES = 3
PROGRESS_S = 5.0


@dataclass
class Day:
    """What was found on one day (or outside of the window, or in the run as a whole)."""

    name: str
    rows: int = 0
    good: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    warned: dict[str, int] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)

    @property
    def quarantined(self) -> int:
        return self.rows - self.good

    @property
    def failed(self) -> list[Outcome]:
        """Expectations of the day (not of its rows) that do not hold."""
        return [outcome for outcome in self.outcomes if not outcome.success and outcome.expectation.level != "row"]


def run(validate: ValidateParams) -> Report:
    """The stage. See the package."""
    with ExitStack() as stack:
        good, quarantine, docs = (stack.enter_context(replaced(path)) for path in (paths.VALIDATE, paths.QUARANTINE, paths.DOCS))
        judging = Judging(validate, good, quarantine, docs)
        judging.all_days()
        summary = judging.summary()
        (good / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        judging.suites.flush()
        pages.write(docs, judging.found, judging.outside, summary)
        failure = judging.failure()
        if failure:
            for left in good.glob("day=*/events.parquet"):
                left.unlink()
                left.parent.rmdir()
    if failure:
        raise failure
    window = judging.window
    return Report(
        read={"rows": judging.rows, "days": len(judging.inside)},
        wrote={"good rows": judging.good, "quarantined rows": judging.rows - judging.good},
        dropped={f"{reason} rows (in {paths.QUARANTINE})": count for reason, count in summary["reasons"].items()},
        notes=[
            f"window {window.first} to {window.last}; page {paths.DOCS}/index.html",
            *judging.warnings(),
        ],
        result={key: summary[key] for key in ("rows_in", "rows_good", "rows_quarantined", "reasons")},
    )


class Judging:
    """The state of one run: the window, what each day brought, what earlier days had."""

    def __init__(self, validate: ValidateParams, good: Path, quarantine: Path, docs: Path) -> None:
        self.validate, self.good_folder, self.quarantine_folder = validate, good, quarantine
        self.window, self.files = _input()
        self.suites = Suites(docs)
        self.found: list[Day] = []
        self.items = pl.Series(ITEM, [], dtype=pl.Int64)
        self.median_price: float | None = None
        self.inside = [str(self.window.first + timedelta(days=i)) for i in range((self.window.last - self.window.first).days + 1)]
        self.outside = [day for day in self.files if day not in set(self.inside)]

    @property
    def rows(self) -> int:
        return sum(day.rows for day in self.found)

    @property
    def good(self) -> int:
        return sum(day.good for day in self.found)

    def all_days(self) -> None:
        shown = time.monotonic()
        counts = {day: _count(path) for day, path in self.files.items()}
        present = [day for day in self.inside if day in self.files]
        median = statistics.median(counts[day] for day in present) if present else 0.0
        for number, day in enumerate(present, 1):
            self._day(day, median)
            if time.monotonic() - shown > PROGRESS_S:
                shown = time.monotonic()
                print(f"validate: day {number} of {len(present)}, {self.rows:,} rows", flush=True)
        if self.outside:
            self._outside()
        self._run(counts)
        assert self.rows == sum(counts.values()), f"{sum(counts.values())} rows in, {self.rows} judged"

    def _day(self, name: str, median_rows: float) -> None:
        of_rows = expectations.of_rows(self.validate, self.window, date.fromisoformat(name))
        parts = split(with_context(_read(self.files[name])), of_rows)
        day = self._written(name, parts)
        marked = parts.rows.with_columns(parts.bad)
        day.outcomes = self.suites.run("rows", name, marked, [*of_rows, expectations.of_bad_share(self.validate)])
        before = Before(day.rows, day.good, median_rows, self.median_price, self.items.is_empty())
        of_day = expectations.of_day(self.validate, before)
        day.outcomes += self.suites.run("day", name, with_summary(parts.good, self.items), of_day)
        self.items = pl.concat([self.items, parts.good[ITEM]]).unique()
        median_price = parts.good[PRICE].median()
        self.median_price = median_price if isinstance(median_price, float) and median_price > 0 else self.median_price
        self.found.append(day)

    def _outside(self) -> None:
        """Stray days: quarantined as a whole; GX sees them as one batch."""
        of_rows = expectations.of_rows(self.validate, self.window, None)
        shown: list[pl.DataFrame] = []
        days = []
        for name in self.outside:
            parts = split(with_context(_read(self.files[name])), of_rows)
            assert not len(parts.good), f"{len(parts.good)} good rows outside the window, day {name}"
            days.append(self._written(name, parts))
            room = JUDGED_OUTSIDE - sum(len(frame) for frame in shown)
            shown.append(parts.rows.head(room))
        days[0].outcomes = self.suites.run("rows", OUTSIDE, pl.concat(shown), of_rows)
        self.found += days

    def _run(self, counts: dict[str, int]) -> None:
        share = (self.rows - self.good) / self.rows
        frame = pl.DataFrame({RUN_ROWS: [counts.get(day, 0) for day in self.inside], RUN_BAD_SHARE: share})
        worst = sorted(self.found, key=lambda day: -day.quarantined)[0]
        outcomes = self.suites.run("days", RUN, frame, expectations.of_run(self.validate))
        self.found.append(Day(RUN, outcomes=outcomes, samples=worst.samples))

    def _written(self, name: str, parts: Split) -> Day:
        for folder, file, frame in (
            (self.good_folder, "events.parquet", parts.good),
            (self.quarantine_folder, "rows.parquet", parts.quarantined),
        ):
            if len(frame):
                path = folder / f"day={name}" / file
                path.parent.mkdir()
                frame.write_parquet(path, compression="zstd", compression_level=1)
        reasons = parts.reasons
        shown = parts.quarantined.filter(pl.col(REASON) == next(iter(reasons))) if reasons else parts.rows
        samples = [f"{row[FILE]}, row {row[ROW]}: {(row[RAW] or '')[:160]!r}" for row in shown.head(SAMPLES).to_dicts()]
        return Day(name, len(parts.rows), len(parts.good), reasons, parts.warned, samples=samples)

    def summary(self) -> dict[str, Any]:
        """data/validate/summary.json."""
        reasons: dict[str, int] = {}
        warned: dict[str, int] = {}
        for day in self.found:
            for total, counts in ((reasons, day.reasons), (warned, day.warned)):
                for reason, count in counts.items():
                    total[reason] = total.get(reason, 0) + count
        return {
            "first_day": str(self.window.first),
            "last_day": str(self.window.last),
            "rows_in": self.rows,
            "rows_good": self.good,
            "rows_quarantined": self.rows - self.good,
            "bad_share": round((self.rows - self.good) / self.rows, 6),
            "reasons": dict(sorted(reasons.items(), key=lambda pair: -pair[1])),
            "warned_rows": warned,
            "failed": {day.name: [outcome.expectation.reason for outcome in day.failed] for day in self.found if day.failed},
            "days": {
                day.name: {"rows": day.rows, "good": day.good, "quarantined": day.quarantined, "reasons": day.reasons}
                for day in self.found
                if day.name != RUN
            },
        }

    def warnings(self) -> list[str]:
        """One line per day-level expectation of severity warning that failed somewhere."""
        days: dict[str, list[str]] = {}
        for day in self.found:
            for outcome in day.failed:
                days.setdefault(f"warning {outcome.expectation.reason}: not so that {outcome.expectation.says}", []).append(
                    f"{day.name} ({outcome.error or pages.shown(outcome)})"
                )
        return [
            f"{what}: {', '.join(where[:3])}{f' and {len(where) - 3} more' if len(where) > 3 else ''}"
            for what, where in days.items()
        ]

    def failure(self) -> DataError | None:
        """The first critical failure, and how many more there are."""
        failed = [(day, outcome) for day in self.found for outcome in day.failed if outcome.expectation.severity == "critical"]
        if not failed:
            return None
        day, outcome = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        name, rows = (f"day {day.name}", day) if day.name != RUN else ("all days", Day(RUN, self.rows, self.good))
        where = [
            f"{name}: {rows.rows} rows, {rows.quarantined} quarantined; {pages.shown(outcome)}",
            *(f"{reason}: {count} rows" for reason, count in list(day.reasons.items())[:SAMPLES]),
            *day.samples,
            f"page: {paths.DOCS}/index.html",
        ]
        what = f"expectation {outcome.expectation.reason} failed{more}: not so that {outcome.expectation.says}"
        return DataError(what, "\n         ".join(where), outcome.expectation.action)


def _input() -> tuple[Window, dict[str, Path]]:
    """The window and the files of data/events by day. DataError if events has not run or its files are broken."""
    again = "run events first: python -m pipelines events"
    try:
        said = json.loads((paths.EVENTS / SUMMARY).read_text(encoding="utf-8"))
        window = Window(date.fromisoformat(said["first_day"]), date.fromisoformat(said["last_day"]))
    except FileNotFoundError:
        raise DataError("there are no events", str(paths.EVENTS / SUMMARY), again) from None
    except (ValueError, KeyError) as error:
        raise DataError(f"the summary of events cannot be read: {error!r}", str(paths.EVENTS / SUMMARY), again) from None
    files = {path.parent.name.removeprefix("day="): path for path in sorted(paths.EVENTS.glob("day=*/events.parquet"))}
    if not files:
        raise DataError("there are no events", str(paths.EVENTS), again)
    for path in files.values():
        try:
            schema = dict(pl.read_parquet_schema(path))
        except (pl.exceptions.ComputeError, OSError) as error:
            raise DataError("a parquet file of events is damaged", f"{path}: {error}", again) from None
        if schema != RAW_SCHEMA:
            missing = [name for name in RAW_SCHEMA if name not in schema]
            differ = [
                f"{name} is {schema[name]}, not {kind}"
                for name, kind in RAW_SCHEMA.items()
                if name in schema and schema[name] != kind
            ]
            wrong = "; ".join([*(f"{name} is missing" for name in missing), *differ]) or f"columns are {', '.join(schema)}"
            raise DataError("expectation columns failed: not the columns of an event", f"{path}: {wrong}", again)
    return window, files


def _read(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, hive_partitioning=False)


def _count(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())
