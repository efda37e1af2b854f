"""Settings of the evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import PositiveInt

from pipelines.params import Config


class EvaluateParams(Config):
    """What is predicted on the test sessions, and how the results are sliced."""

    protocol: Literal["every_position", "last_item", "given_prefixes"]
    """every_position: every event after the first of every test session. last_item: the last event of each.
    given_prefixes: the rows of `evaluate.prefixes`, one prediction each."""
    prefixes: str | None
    """Parquet file for given_prefixes, columns `prefix` (list of the source's item ids, oldest first) and `label`."""
    device: Literal["auto", "cpu", "cuda"]
    """Where to score. auto: on CUDA if there is a device, else on the CPU."""
    cold_below: PositiveInt
    """A target with fewer training events than this is cold."""
    popular_share: Annotated[float, Gt(0), Le(1)]
    """Share 0..1 of the catalogue that counts as popular: the items with the most training events."""
    short_until: Annotated[int, Ge(2)]
    """Sessions with so many events or fewer are short."""
    long_from: Annotated[int, Ge(3)]
    """Sessions with so many events or more are long."""
    category_levels: PositiveInt
    """Parts of the dotted category path that make a slice: 1 puts electronics.phone and electronics.tv together."""
