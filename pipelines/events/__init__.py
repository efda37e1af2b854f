"""events: raw files of any source become typed rows in day partitions; no row is lost.

in   data/raw/**                                  files of the source (none for simulate)
     data/raw/repaired/*.jsonl                    mended rows, taken in place of the originals
out  data/events/day=YYYY-MM-DD/events.parquet    columns.RAW_SCHEMA, zstd, in the order of the files
     data/events/day=undated/events.parquet       rows whose time cannot be read
     data/events/summary.json                     window (first_day, last_day), counts per day and file
"""

from __future__ import annotations

from pipelines.events.params import EventsParams
from pipelines.stage import Report


def run(events: EventsParams) -> Report:
    from pipelines.events import ingest

    return ingest.run(events)
