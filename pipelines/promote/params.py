"""Settings of promoting a version."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le

from pipelines.params import Config


class PromoteParams(Config):
    """How many old versions stay beside the champion."""

    keep: Annotated[int, Ge(0), Le(100)]
    """Old versions that stay in Triton's repository beside champion and previous."""
