"""mapped: your own CSV, JSONL or parquet; section events.mapped names its columns.

JSONL columns may be paths (`item.sku`); quotes in CSV are understood, line ends inside quotes are not: a row is a line.
"""

from __future__ import annotations

from pipelines import columns
from pipelines.errors import ParamsError
from pipelines.events.layout import Layout
from pipelines.events.params import EventsParams

NAMED = (
    columns.SESSION,
    columns.USER,
    columns.ITEM,
    columns.EVENT,
    columns.TIME,
    columns.PRICE,
    columns.CATEGORY,
    columns.BRAND,
)


def layout(events: EventsParams) -> Layout:
    mapped = events.mapped
    if mapped.session_id is None and mapped.user_id is None:
        raise ParamsError(
            "neither a session nor a user column is named",
            "params.yaml: events.mapped.session_id = null, events.mapped.user_id = null",
            "name at least one of the two: without them no event belongs to a visitor",
        )
    return Layout(
        columns={ours: theirs for ours in NAMED if (theirs := getattr(mapped, ours)) is not None},
        suffixes=(".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet"),
        separator=mapped.separator,
        time=mapped.time_format,
        zone=events.time_zone,
        events=mapped.event_names,
        every_event=None if mapped.event_type else mapped.default_event,
        text_items=mapped.item_ids == "text",
    )
