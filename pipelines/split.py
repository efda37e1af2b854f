"""The split by time: the oldest sessions train, newer ones validate, the newest ones test."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Lt
from pydantic import NonNegativeFloat, PositiveInt

from pipelines.params import Config

TRAIN, VALID, TEST = 0, 1, 2
NAMES = ("train", "valid", "test")


class SplitParams(Config):
    """How the sessions of a window become train, valid and test."""

    by: Literal["days", "shares"]
    """days: whole last days. shares: shares of the sessions in time order, for a short log."""
    valid_days: PositiveInt
    """Days before the test days that choose the model (split.by: days)."""
    test_days: PositiveInt
    """Last days of the window, seen by no training and no choice (split.by: days)."""
    valid_share: Annotated[NonNegativeFloat, Lt(0.5)]
    """Share 0..0.5 of the sessions that validate (split.by: shares)."""
    test_share: Annotated[float, Ge(0.01), Lt(0.5)]
    """Share 0..0.5 of the newest sessions that test (split.by: shares)."""
