"""The difference of two models on the same test sessions, and how sure it is: a paired bootstrap over sessions.

Predictions of one session depend on each other, so whole sessions are drawn (Efron and Tibshirani, 1993, chapter 8). The
difference is relative: MRR@20 of the challenger divided by that of the champion, minus one; both means are over predictions.
All parts of the test are drawn together: one set of samples for the whole and for every slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.errors import DataError

CUTOFF = 20
SEED = 20
UNITS = 2**13
"""Of more sessions than this, random groups of sessions are drawn: the interval stays right, the time bounded."""
AT_ONCE = 2**20
"""Draws held in memory at once: what stays in a CPU's cache."""

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """Challenger to champion, MRR@20; shares of the champion's.

    share         0.02: the challenger's MRR@20 is 2 % higher
    lower, upper  with the stated confidence the true share is above `lower`; with the same, below `upper`
    error         standard deviation of the share over the samples
    p_worse       chance of samples like these if no more than `max_loss` were lost: small when more is lost for sure
    """

    share: float
    lower: float
    upper: float
    error: float
    p_worse: float
    challenger: float
    champion: float
    sessions: int
    predictions: int


def reciprocal(ranks: npt.NDArray[np.integer]) -> Floats:
    """What a prediction adds to MRR@20."""
    return np.where(ranks <= CUTOFF, 1 / np.maximum(ranks, 1), 0.0)


def paired(
    sessions: npt.NDArray[np.integer],
    challenger: Floats,
    champion: Floats,
    parts: Sequence[Mask],
    confidence: float,
    resamples: int,
    max_loss: float = 0.0,
    seed: int = SEED,
) -> list[Difference]:
    """The difference on each part of the predictions.

    sessions              which session each prediction belongs to
    challenger, champion  the value of each prediction
    parts                 which predictions each part holds, at least one
    """
    if len(sessions) == 0:
        raise DataError("there is no prediction to compare", "data/evaluate", "raise split.test_days or split.test_share")
    _, which = np.unique(sessions, return_inverse=True)
    num_sessions = int(which.max()) + 1
    both = (challenger, champion)
    columns = [np.bincount(which[part], weights=values[part], minlength=num_sessions) for part in parts for values in both]
    drawn = bootstrap(np.stack(columns, 1), resamples, seed)
    shares = _share(drawn[:, 0::2], drawn[:, 1::2])
    found = []
    for column, part in enumerate(parts):
        share, means = shares[:, column], [float(values[part].mean()) for values in both]
        lower, upper = np.quantile(share, (1 - confidence, confidence), method="lower")
        found.append(
            Difference(
                share=float(_share(np.array(means[0]), np.array(means[1]))),
                lower=float(lower),
                upper=float(upper),
                error=float(share[np.isfinite(share)].std()) if np.isfinite(share).any() else float("inf"),
                p_worse=float((1 + (share >= -max_loss).sum()) / (1 + resamples)),
                challenger=means[0],
                champion=means[1],
                sessions=len(np.unique(which[part])),
                predictions=int(part.sum()),
            )
        )
    return found


def bootstrap(table: Floats, resamples: int, seed: int = SEED) -> Floats:
    """Sums over samples of the sessions, drawn with replacement, each as many as there are. [resamples, k]

    table  [sessions, k] what each session adds
    """
    chance = np.random.Generator(np.random.SFC64(seed))
    if len(table) > UNITS:
        group = chance.permutation(len(table)) % UNITS
        table = np.stack([np.bincount(group, weights=column) for column in table.T], 1)
    units, summands = len(table), table.astype(np.float32)
    sums = np.empty((resamples, table.shape[1]), np.float32)
    rows = min(resamples, max(1, AT_ONCE // units))
    first = np.arange(rows)[:, None] * units
    for begin in range(0, resamples, rows):
        many = min(rows, resamples - begin)
        drawn = chance.integers(0, units, size=(many, units), dtype=np.uint16) + first[:many]
        times = np.bincount(drawn.ravel(), minlength=many * units).reshape(many, units)  # how often each session is drawn
        sums[begin : begin + many] = times.astype(np.float32) @ summands
    return sums.astype(np.float64)


def _share(ours: Floats, theirs: Floats) -> Floats:
    """What the one is above the other; of nothing, nothing is lost, and any gain is without bound."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = ours / theirs - 1
    return np.where(theirs > 0, share, np.where(ours > 0, np.inf, 0.0))
