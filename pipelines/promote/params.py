"""Settings of promoting a version."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le
from pydantic import PositiveInt

from pipelines.params import Config


class PromoteParams(Config):
    """Which version becomes champion, and how many old ones stay beside it."""

    version: PositiveInt | None
    """Version of the registry to promote. Empty: the one that this run registered."""
    keep: Annotated[int, Ge(0), Le(100)]
    """Old versions that stay in Triton's repository beside champion and previous."""
