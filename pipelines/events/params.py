"""Settings of events: which data come in, and how they are read."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeInt, PositiveInt

from pipelines.errors import nearest
from pipelines.events import sources
from pipelines.params import Config

Share = Annotated[float, Ge(0), Le(1)]


def _source(name: str) -> str:
    if name not in sources.names():
        raise ValueError(f"there is no such source; {nearest(name, sources.names())}")
    return name


def _zone(name: str | None) -> str | None:
    if name is not None and name not in available_timezones():
        raise ValueError(f"there is no such time zone; {nearest(name, available_timezones())[:200]}")
    return name


def _day(value: Any) -> Any:
    """YAML reads 2026-11-01 as a date, a form sends text: both are taken."""
    return date.fromisoformat(value) if isinstance(value, str) else value


Day = Annotated[date, BeforeValidator(_day)]
Source = Annotated[str, AfterValidator(_source), Field(json_schema_extra=lambda schema: schema.update(enum=sources.names()))]
Zone = Annotated[str | None, AfterValidator(_zone)]


class SimulateParams(Config):
    """The embedded shop."""

    seed: NonNegativeInt
    """Same seed, same bytes."""
    first_day: Day
    """First day simulated, UTC."""
    days: Annotated[int, Ge(1), Le(366)]
    """Days simulated."""
    num_events: Annotated[int, Ge(100), Le(200_000_000)]
    """Rows of the whole window, dirty ones included."""
    num_items: Annotated[int, Ge(20), Le(10_000_000)]
    """Items of the catalogue; about a quarter appear only in the course of the window."""
    num_interests: Annotated[int, Ge(1), Le(10_000)]
    """Latent interests. A session follows one of them; the visitor never tells which."""
    mean_session_length: Annotated[float, Ge(2), Le(20)]
    """Items a session looks at, on average."""
    follow_share: Share
    """Share of steps that follow the interest's own order of items; the others are drawn by popularity."""
    dirty_share: Annotated[float, Ge(0), Le(0.5)]
    """Share of dirty rows."""


class MappedParams(Config):
    """How the columns of your own file are called and read."""

    session_id: str | None
    """Column of the session; null where the data have none (then user_id is needed)."""
    user_id: str | None
    """Column of the user; null where the data have none."""
    item_id: str
    """Column of the item."""
    event_type: str | None
    """Column of the event type; null: every row is a `default_event`."""
    timestamp: str
    """Column of the time."""
    price: str | None
    """Column of the price; null where the data have none."""
    category: str | None
    """Column of the category, best a dotted path; null where the data have none."""
    brand: str | None
    """Column of the brand; null where the data have none."""
    separator: Annotated[str, Field(min_length=1, max_length=1)]
    """Character between the fields of a CSV file."""
    item_ids: Literal["integer", "text"]
    """text: ids become a stable 63-bit hash in item_id, and the text is kept in item_key."""
    time_format: Annotated[str, Field(min_length=1)]
    """iso, epoch_s, epoch_ms, epoch_us, or a strptime pattern such as %d.%m.%Y %H:%M."""
    event_names: dict[str, str]
    """Your event types to ours (view, cart, remove, purchase); those not named keep their name."""
    default_event: str
    """Event type of every row where event_type is null."""


class EventsParams(Config):
    """Which data come in."""

    source: Source
    """Kind of data: one of the files in pipelines/events/sources."""
    files: Annotated[list[str], Field(min_length=1)]
    """Glob patterns of the files to read, relative to data/raw."""
    first_day: Day | None
    """First day to keep (UTC); null: as far back as the data go. Earlier rows are left out and counted."""
    last_day: Day | None
    """Last day to keep (UTC); null: the newest day of the data. Later rows are left out and counted."""
    time_zone: Zone
    """Zone of times that name none, such as UTC or Europe/Berlin; null: such a time cannot be read."""
    max_other_files_share: Share
    """Share of files of another kind that may lie beside those of the source; above it the run stops."""
    stray_share: Annotated[float, Gt(0), Le(0.5)]
    """Days far from the others with less than this share of all rows are outside the window (quarantined)."""
    stray_gap_days: PositiveInt
    """Days without any row that part such days from the others."""
    batch_mib: PositiveInt
    """MiB of text read at once; memory needed is about twelve times this."""
    simulate: SimulateParams
    """Settings of the source simulate."""
    mapped: MappedParams
    """Settings of the source mapped."""
