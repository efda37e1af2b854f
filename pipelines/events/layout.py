"""What a source says of itself: which of its columns become ours, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """How the columns of a source become ours.

    columns      our column -> the source's. Those and `others` have to be there, unless they are optional
    others       columns that belong to the format and are not used
    separator    between the fields of a line
    suffixes     of its files, without .gz; .parquet and .jsonl are read as such, all others as lines of fields
    time         iso, epoch_s, epoch_ms, epoch_us, epoch_s_or_iso, or a strptime pattern
    zone         of times that name none; null: they cannot be read
    events       the source's event types -> ours; others keep their name
    every_event  the event type of all rows, for a source that does not say
    text_items   item ids are text: hashed into item_id, kept in item_key
    """

    columns: Mapping[str, str]
    suffixes: tuple[str, ...]
    separator: str = ","
    others: tuple[str, ...] = ()
    time: str | Literal["iso", "epoch_s", "epoch_ms", "epoch_us", "epoch_s_or_iso"] = "iso"
    zone: str | None = None
    events: Mapping[str, str] = field(default_factory=dict)
    every_event: str | None = None
    text_items: bool = False

    @property
    def expected(self) -> list[str]:
        """The source's column names, each once."""
        return list(dict.fromkeys([*self.columns.values(), *self.others]))
