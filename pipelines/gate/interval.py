"""The difference of two models on the same test sessions, and how sure it is: a paired bootstrap over sessions.

Predictions of one session depend on each other, so whole sessions are drawn (Efron and Tibshirani, 1993, chapter 8). The
mean is over predictions: of a drawn sample, the sum of the differences divided by the sum of the predictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.errors import DataError

CUTOFF = 20
SEED = 20
UNITS = 2**13
"""Of more sessions than this, random groups of sessions are drawn: the interval stays right, the time bounded."""
AT_ONCE = 2**21

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """Challenger minus champion, in MRR@20.

    lower  the one-sided interval's end: with the stated confidence the true difference is above it
    """

    mean: float
    lower: float
    champion: float
    sessions: int


def reciprocal(ranks: npt.NDArray[np.integer]) -> Floats:
    """What a prediction adds to MRR@20."""
    return np.where(ranks <= CUTOFF, 1 / np.maximum(ranks, 1), 0.0)


def paired(
    sessions: npt.NDArray[np.integer], challenger: Floats, champion: Floats, confidence: float, resamples: int, seed: int = SEED
) -> Difference:
    """sessions: which session each prediction belongs to; challenger, champion: the value of each prediction."""
    if len(sessions) == 0:
        raise DataError("there is no prediction to compare", "data/evaluate", "raise split.test_days or split.test_share")
    _, which = np.unique(sessions, return_inverse=True)
    sums = np.bincount(which, weights=challenger - champion).astype(np.float64)
    counts = np.bincount(which).astype(np.float64)
    drawn = bootstrap(sums, counts, resamples, seed)
    lower = float(np.quantile(drawn, 1 - confidence))
    return Difference(float(sums.sum() / counts.sum()), lower, float(champion.mean()), len(sums))


def bootstrap(sums: Floats, counts: Floats, resamples: int, seed: int = SEED) -> Floats:
    """Means of `resamples` samples of the sessions, drawn with replacement, each as many as there are. [resamples]"""
    chance = np.random.Generator(np.random.SFC64(seed))
    if len(sums) > UNITS:
        group = chance.permutation(len(sums)) % UNITS
        sums, counts = (np.bincount(group, weights=values).astype(np.float64) for values in (sums, counts))
    units = len(sums)
    table = (sums + 1j * counts).astype(np.complex64)  # one look-up for both
    means = np.empty(resamples)
    rows = max(1, AT_ONCE // units)
    for begin in range(0, resamples, rows):
        many = min(rows, resamples - begin)
        drawn = table[chance.integers(0, units, size=(many, units), dtype=np.uint16)].sum(1)
        means[begin : begin + many] = drawn.real / drawn.imag
    return means
