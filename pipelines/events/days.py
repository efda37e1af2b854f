"""Frames of rows become day partitions: data/events/day=YYYY-MM-DD/events.parquet, rows in the order they came."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import polars as pl

from pipelines.columns import FILE, RAW_SCHEMA, ROW, TIME, UNDATED

NAME = "events.parquet"


class DayWriter:
    """Takes frames one after the other; no day has to fit in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: Counter[str] = Counter()
        self.parts: dict[str, list[Path]] = {}

    def add(self, frame: pl.DataFrame) -> None:
        day = pl.col(TIME).dt.strftime("%Y-%m-%d").fill_null(UNDATED).alias("day")
        for (name,), rows in (
            frame.with_columns(day).partition_by("day", as_dict=True, include_key=False, maintain_order=True).items()
        ):
            parts = self.parts.setdefault(str(name), [])
            path = self.folder / f"day={name}" / f"part-{len(parts):05}.parquet"
            path.parent.mkdir(exist_ok=True)
            rows.write_parquet(path, compression="zstd", compression_level=1, statistics=True)
            parts.append(path)
            self.rows[str(name)] += len(rows)

    def close(self) -> None:
        """One file per day; the rows written are counted again from the files."""
        for day, parts in self.parts.items():
            target = self.folder / f"day={day}" / NAME
            if len(parts) == 1:
                parts[0].rename(target)
            else:
                pl.scan_parquet(parts, schema=RAW_SCHEMA).sink_parquet(target, compression="zstd", compression_level=1)
                for part in parts:
                    part.unlink()
            written = pl.scan_parquet(target).select(pl.len()).collect().item()
            assert written == self.rows[day], f"day {day}: {self.rows[day]} rows came, {written} were written"

    def dates(self) -> dict[date, int]:
        """Rows of each day that has a date."""
        return {date.fromisoformat(day): rows for day, rows in self.rows.items() if day != UNDATED}


assert {FILE, ROW} <= set(RAW_SCHEMA)
