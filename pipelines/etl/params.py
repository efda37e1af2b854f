"""The settings of etl; values in params.yaml, section `etl`."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen
from pydantic import PositiveFloat, PositiveInt

from pipelines.params import Config


class EtlParams(Config):
    """How events become sessions, and sessions model columns."""

    sessions_by: Literal["id", "user_inactivity"]
    """id: the source's session id; rows without one are cut by user and gap. user_inactivity: all rows are."""
    inactivity_minutes: PositiveFloat
    """A longer pause of a user, in minutes, begins a new session (where sessions are cut by user)."""
    event_types: Annotated[tuple[str, ...], MinLen(1)]
    """Event types that are kept, as they stand in the events; others are dropped and counted."""
    deduplicate: Literal["none", "same_second", "consecutive"]
    """What counts as a repeat within a session: same item and event type in the same second, or one after the other."""
    min_item_support: PositiveInt
    """Training events an item needs to enter the vocabulary; items of the known vocabulary stay in any case."""
    min_category_support: PositiveInt
    """Training events a category, brand or event type needs for an index of its own; below, it is `rare`."""
    min_session_length: Annotated[int, Ge(2)]
    """Events a session must have; shorter ones are dropped."""
    max_session_length: Annotated[int, Ge(2), Le(10_000)]
    """Events of a session that are kept, its last ones."""
    keep_users: bool
    """Write the user of each session into session_ids.parquet, for models of users; takes time and memory."""
    engine: Literal["auto", "cpu", "gpu"]
    """Where Polars and NVTabular compute. auto: on a GPU if there is one. gpu without a GPU is an error."""
    streaming_events: PositiveInt
    """Events from which Polars sorts in its streaming engine (cpu): slower, but with less memory."""
    partition_events: Annotated[int, Ge(1_000)]
    """Events that NVTabular computes at a time: more is faster, less needs less memory."""
    scheduler: str | None
    """Address of a running Dask cluster (tcp://host:port) that shares this file system; null: this process alone."""
