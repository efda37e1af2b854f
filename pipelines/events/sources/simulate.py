"""simulate: the embedded shop; its days are REES46 text and are read as such."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.events import shop
from pipelines.events.files import Input
from pipelines.events.layout import Layout
from pipelines.events.params import EventsParams
from pipelines.events.sources import rees46


def layout(events: EventsParams) -> Layout:
    return rees46.layout(events)


def inputs(events: EventsParams) -> Iterator[Input]:
    for day, text in shop.days(events.simulate):
        yield Input(name=f"simulate/{day}.csv", text=text)
