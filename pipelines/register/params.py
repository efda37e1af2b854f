"""Settings of registering a version."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le, MinLen
from pydantic import PositiveInt

from pipelines.params import Config


class RegisterParams(Config):
    """What becomes a version, and how it is rehearsed."""

    candidates: Annotated[list[str], MinLen(1)] | None
    """Models that may become the challenger; the best on the validation sessions (MRR@20) is taken. Empty: all of `models`."""
    num_answers: Annotated[int, Ge(1), Le(1000)]
    """Items that the served model answers with."""
    check_sessions: Annotated[PositiveInt, Le(100_000)]
    """Newest test sessions on which graph and torch, and server and graph, must agree."""
    rehearsal_requests: Annotated[int, Ge(20), Le(100_000)]
    """Requests of one session each, one after the other, that measure the latency in Triton."""


class ServeParams(Config):
    """What a served version does where a request does not say it, and how much a request may say."""

    exclude_seen: bool
    """Whether items of the session are left out of its answer when a request leaves it open (exclude_seen = -1)."""
    max_denied: Annotated[int, Ge(1), Le(1000)]
    """Items that a request may deny: the width of denied_item_ids. Each costs some time, sent or not."""
