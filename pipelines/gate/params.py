"""Settings of the gate."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import NonNegativeFloat, PositiveFloat

from pipelines.params import Config


class GateParams(Config):
    """What a challenger must show before it may become champion. What was not measured does not pass."""

    review: Literal["auto", "manual"]
    """auto: the gate's yes is enough. manual: a person approves in Airflow's Required Actions."""
    min_vs_session_popularity: NonNegativeFloat
    """MRR@20 divided by that of session popularity must be above this (1: better; 0.9: at most 10 % worse)."""
    min_vs_session_knn: NonNegativeFloat
    """MRR@20 divided by that of V-SKNN must be at least this."""
    max_loss_share: Annotated[float, Ge(0), Lt(1)]
    """Share 0..1 of the champion's MRR@20 that may be lost: the interval of the difference must end above it."""
    confidence: Annotated[float, Gt(0.5), Lt(1)]
    """Confidence 0.5..1 of that one-sided interval."""
    resamples: Annotated[int, Ge(10_000), Le(1_000_000)]
    """Bootstrap samples of the test sessions."""
    max_p95_ms: PositiveFloat
    """Milliseconds within which 95 % of single requests are answered, measured in the real Triton."""
    max_parity_wrong: Annotated[int, Ge(0)]
    """Sessions that the server may answer unlike the file."""
