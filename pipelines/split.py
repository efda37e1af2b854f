"""The split by time: the oldest sessions train, newer ones validate, the newest ones test."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Lt
from pydantic import NonNegativeFloat, PositiveInt

from pipelines.errors import DataError
from pipelines.params import Config

TRAIN, VALID, TEST = 0, 1, 2
NAMES = ("train", "valid", "test")
_DAY_US = 86_400_000_000


class SplitParams(Config):
    """How the sessions of a window become train, valid and test."""

    by: Literal["auto", "days", "shares"]
    """days: whole last days. shares: shares of the sessions in time order, for a short log. auto: days if at least half
    of the window's days are left for training, else shares; data/etl/summary.json says which it was."""
    valid_days: PositiveInt
    """Days before the test days that choose the model (split.by: days)."""
    test_days: PositiveInt
    """Last days of the window, seen by no training and no choice (split.by: days)."""
    valid_share: Annotated[NonNegativeFloat, Lt(0.5)]
    """Share 0..0.5 of the sessions that validate (split.by: shares)."""
    test_share: Annotated[float, Ge(0.01), Lt(0.5)]
    """Share 0..0.5 of the newest sessions that test (split.by: shares)."""


def assign(starts: npt.NDArray[np.int64], split: SplitParams) -> npt.NDArray[np.int8]:
    """TRAIN, VALID or TEST for each session.

    split.by auto is resolved first.

    starts   first event of each session, microseconds UTC, ascending
    days     a day is a UTC day; the window ends with the day of the last session
    DataError if a part would be empty (but for a valid_share of 0).
    """
    split = resolve(starts, split)
    parts = np.full(len(starts), TRAIN, np.int8)
    if split.by == "days":
        days = starts // _DAY_US
        end = int(days[-1]) + 1 if len(days) else 0
        parts[days >= end - split.test_days - split.valid_days] = VALID
        parts[days >= end - split.test_days] = TEST
    else:
        test = round(len(starts) * split.test_share)
        valid = round(len(starts) * split.valid_share)
        parts[len(starts) - test - valid :] = VALID
        parts[len(starts) - test :] = TEST
    check(parts, starts, split)
    return parts


def resolve(starts: npt.NDArray[np.int64], split: SplitParams) -> SplitParams:
    """`split` with `by: auto` replaced by what it means for these sessions."""
    if split.by != "auto":
        return split
    num_days = int(starts.max() // _DAY_US - starts.min() // _DAY_US) + 1 if len(starts) else 0
    held_out = split.valid_days + split.test_days
    return split.model_copy(update={"by": "days" if num_days >= 2 * held_out else "shares"})


def check(parts: npt.NDArray[np.int8], starts: npt.NDArray[np.int64], split: SplitParams, when: str = "") -> None:
    """DataError names the empty part, the days there are, and the settings that cut them."""
    split = resolve(starts, split)
    for part, name in enumerate(NAMES):
        wanted = part != VALID or split.by == "days" or split.valid_share > 0
        if wanted and not (parts == part).any():
            raise DataError(f"the {name} split is empty {when}".rstrip(), _where(starts, split), _advice(split))


def _where(starts: npt.NDArray[np.int64], split: SplitParams) -> str:
    if not len(starts):
        return "there is no session at all"
    first, last = (np.datetime64(int(time), "us").astype("datetime64[D]") for time in (starts.min(), starts.max()))
    sessions = f"{len(starts):,} session{'s' * (len(starts) != 1)} from {first} to {last}"
    if split.by == "days":
        return f"{sessions}; split.by=days, split.valid_days={split.valid_days}, split.test_days={split.test_days}"
    return f"{sessions}; split.by=shares, split.valid_share={split.valid_share}, split.test_share={split.test_share}"


def _advice(split: SplitParams) -> str:
    if split.by == "days":
        return "give more days, lower split.valid_days or split.test_days, or set split.by: shares for a short log"
    return "give more sessions, or change split.valid_share and split.test_share in params.yaml"
