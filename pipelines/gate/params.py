"""Settings of the gate."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from pipelines.params import Config

Share = Annotated[float, Ge(0), Le(1)]
Part = Annotated[float, Ge(0), Lt(1)]


class GateParams(Config):
    """What a challenger must show before it may become champion. What was not measured does not pass."""

    review: Literal["auto", "manual"]
    """auto: the gate's yes is enough. manual: a person answers, in Airflow's Required Actions or on the
    version's page in MLflow."""
    min_vs_session_popularity: NonNegativeFloat
    """MRR@20 divided by that of session popularity must be above this (1: better; 0.9: at most 10 % worse)."""
    min_vs_session_knn: NonNegativeFloat
    """MRR@20 divided by that of V-SKNN must be at least this."""
    side: Literal["not_worse", "better"]
    """not_worse: it is sure that at most max_loss_share is lost to the champion. better: it is sure that something is gained,
    and the gain measured is at least min_gain_share."""
    max_loss_share: Part
    """Share 0..1 of the champion's MRR@20 that may be lost (gate.side: not_worse)."""
    min_gain_share: NonNegativeFloat
    """Share of the champion's MRR@20 that must be gained (gate.side: better)."""
    confidence: Annotated[float, Gt(0.5), Lt(1)]
    """Confidence 0.5..1 of each one-sided interval, and of all slices together."""
    resamples: Annotated[int, Ge(10_000), Le(1_000_000)]
    """Bootstrap samples of the test sessions."""
    max_slice_loss_share: Part
    """Share 0..1 of the champion's MRR@20 in a slice that may be lost there: refused where it is sure that more is lost."""
    min_slice_sessions: PositiveInt
    """A slice with fewer test sessions is not judged, and named."""

    min_coverage: Share
    """Share 0..1 of all items that must stand in at least one list of 20."""
    max_mean_popularity: Share
    """Mean popularity of the items shown, 0 (the rarest) to 1 (the most popular one), at most this."""
    max_gini: Share
    """Gini of the items' exposure, 0 (all alike) to 1 (one item is all that is shown), at most this."""
    max_repeat_share: Share
    """Share 0..1 of the places shown that hold an item which the session held already, at most this."""
    max_overlap: Share
    """Share 0..1 of items that two lists have in common on average (1: everybody is shown the same), at most this."""
    max_list_change: NonNegativeFloat
    """Share by which coverage may be lower than the champion's, mean popularity and Gini higher (0.25: by a quarter)."""

    max_p50_ms: PositiveFloat
    """Milliseconds within which half of single requests are answered, measured in the real Triton."""
    max_p95_ms: PositiveFloat
    """Milliseconds within which 95 % of single requests are answered, measured in the real Triton."""
    max_latency_ratio: Annotated[float, Ge(1)]
    """p50 and p95 divided by those of the champion, measured at the same time, at most this."""
    max_memory_mb: PositiveFloat | None
    """Megabytes that the process may take that serves the version. Empty: memory is not judged (where it cannot be seen)."""
    max_memory_ratio: Annotated[float, Ge(1)]
    """Memory divided by the champion's, at most this."""
    min_parity_sessions: PositiveInt
    """Sessions on which server and file must have been compared; of fewer test sessions, all."""
    max_parity_wrong: Annotated[int, Ge(0)]
    """Sessions that the server may answer unlike the file."""

    drift_columns: Annotated[list[str], MinLen(1)]
    """Columns of data/etl whose test days are compared with the training days; session_length too. Those that the data lack
    are named. Not in it: what differs by its nature (item_age grows, a few test days have few weekdays)."""
    max_psi: PositiveFloat
    """Population stability index above which a column has drifted; 0.1 is a moderate, 0.25 a large change."""
    max_drifted_columns: Annotated[int, Ge(0)]
    """Columns that may have drifted."""
    max_unseen_share: Share
    """Share 0..1 of the test events whose item had no training event, at most this."""

    max_mean_cosine: Annotated[float, Gt(0), Le(1)]
    """Mean cosine 0..1 between the vectors of two items, at most this: near 1 all items look the same."""
    min_effective_rank: Part
    """Effective rank of the item vectors divided by their size, 0..1, at least this: near 0 they lie on a line."""
