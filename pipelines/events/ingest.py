"""Read every file of the source, batch by batch, into day partitions; then swap them with the old ones."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from pipelines import paths
from pipelines.columns import RAW_SCHEMA, TIME, UNDATED
from pipelines.errors import DataError
from pipelines.events import files, repaired, sources, text, typed, window
from pipelines.events.days import DayWriter
from pipelines.events.files import Input
from pipelines.events.layout import Layout
from pipelines.events.params import EventsParams
from pipelines.events.typed import ItemHashes
from pipelines.stage import Report
from pipelines.stores.folder import replaced

SUMMARY = "summary.json"
MIB = 1 << 20
PROGRESS_S = 5.0


def run(events: EventsParams) -> Report:
    """The stage. See the package."""
    source = sources.find(events.source)
    layout: Layout = source.layout(events)
    notes: list[str] = []
    if events.first_day and events.last_day and events.first_day > events.last_day:
        raise DataError(
            "the window ends before it begins", f"events.first_day {events.first_day}, last_day {events.last_day}", "swap them"
        )
    if hasattr(source, "inputs"):
        inputs: Iterable[Input] = source.inputs(events)
    else:
        copies = source.copies(file.name for file in files.listed(events.files)) if hasattr(source, "copies") else {}
        choice = files.choose(events, layout, copies)
        inputs = choice.inputs
        notes += [f"left out {name}: {why}" for name, why in choice.left.items()]
    if layout.zone and layout.time not in typed.EPOCH:
        notes.append(f"times that name no zone were taken as {layout.zone} (events.time_zone)")
    mended = repaired.load()
    with replaced(paths.EVENTS) as folder:
        reading = Reading(events, layout, folder, mended)
        for file in inputs:
            reading.file(file)
        reading.close()
        summary = reading.summary()
        (folder / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    unused = sorted(set(mended.texts) - set(reading.rows_of))
    notes += [f"mended rows of {name} wait: that file was not read" for name in unused]
    notes.append(f"window {summary['first_day']} to {summary['last_day']}")
    return Report(
        read={"files": len(reading.rows_of), "rows": reading.read, "mended rows": mended.used.total()},
        wrote={
            "rows": reading.days.rows.total(),
            "days": len(reading.days.dates()),
            "rows without a date": reading.days.rows[UNDATED],
        },
        dropped={what: count for what, count in reading.left.items() if count},
        notes=notes,
        result={"first_day": summary["first_day"], "last_day": summary["last_day"], "source": events.source},
    )


class Reading:
    """The state of one run: rows counted per file and day, rows left out by the chosen window."""

    def __init__(self, events: EventsParams, layout: Layout, folder: Path, mended: repaired.Repaired) -> None:
        self.events, self.layout, self.mended = events, layout, mended
        self.days = DayWriter(folder)
        self.hashes = ItemHashes()
        self.rows_of: dict[str, int] = {}
        self.left: Counter[str] = Counter()
        self.begin = self.shown = time.monotonic()

    @property
    def read(self) -> int:
        return sum(self.rows_of.values())

    def file(self, file: Input) -> None:
        self.rows_of[file.name] = 0
        for batch in text.frames(file, self.layout, self.events.batch_mib * MIB, self.mended):
            frame = typed.typed(batch, self.layout)
            assert dict(frame.schema) == RAW_SCHEMA, f"columns differ: {frame.schema}"
            if not self.rows_of[file.name]:
                typed.check_times(frame, self.layout, file.name)
            if self.layout.text_items:
                frame = self.hashes.fill(frame)
            self.rows_of[file.name] += len(frame)
            self.days.add(self._inside(frame))
            if time.monotonic() - self.shown > PROGRESS_S:
                self.shown = time.monotonic()
                print(f"events: {self.read:,} rows, {self.read / (self.shown - self.begin):,.0f} rows/s, {file.name}", flush=True)
        self.mended.check(file.name)

    def _inside(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of the chosen window; those without a time stay, to be quarantined."""
        for word, bound in (("before", self.events.first_day), ("after", self.events.last_day)):
            if bound is not None:
                day = pl.col(TIME).dt.date()
                outside = (day < bound if word == "before" else day > bound).fill_null(False)
                kept = frame.filter(~outside)
                self.left[f"rows {word} {bound} (events.{'first' if word == 'before' else 'last'}_day)"] += len(frame) - len(kept)
                frame = kept
        return frame

    def close(self) -> None:
        self.days.close()
        wrote = self.days.rows.total()
        assert self.read == wrote + self.left.total(), f"{self.read} rows read, {wrote} written, {self.left.total()} left out"
        if not self.days.dates():
            where = f"{self.read} rows read, {self.days.rows[UNDATED]} without a time, left out: {dict(self.left)}"
            raise DataError("no row is inside the window", where, "move events.first_day and last_day, or correct the times")

    def summary(self) -> dict[str, object]:
        dates = self.days.dates()
        newest = None if self.events.source == "simulate" else tomorrow()
        if newest and min(dates) > newest:
            raise DataError(
                "every time is in the future",
                f"days {min(dates)} to {max(dates)}, today is {newest - timedelta(days=1)} (UTC)",
                "correct this machine's clock, or the times (with source mapped: events.mapped.time_format)",
            )
        first, last = window.derived(dates, self.events.stray_share, self.events.stray_gap_days, newest)
        return {
            "source": self.events.source,
            "first_day": str(self.events.first_day or first),
            "last_day": str(self.events.last_day or last),
            "rows_read": self.read,
            "rows_written": self.days.rows.total(),
            "rows_left_out": self.left.total(),
            "mended_rows": self.mended.used.total(),
            "files": self.rows_of,
            "days": dict(sorted(self.days.rows.items())),
        }


def tomorrow() -> date:
    """The newest day an event can have, clocks being what they are."""
    return datetime.now(UTC).date() + timedelta(days=1)
