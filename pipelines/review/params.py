"""Settings of the review."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt, Le

from pipelines.params import Config


class ReviewParams(Config):
    """How long a person may take. Whether one is asked at all is `gate.review`."""

    hours: Annotated[float, Gt(0), Le(720)]
    """Hours that the review stays open; nobody has answered by then: the champion stays."""
