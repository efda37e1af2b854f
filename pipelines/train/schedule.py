"""The step size and the momentum over a training; both depend only on the share of it that is done."""

from __future__ import annotations

import math

from pipelines.train.params import TrainParams

START, END = 1 / 25, 1 / 250_000
"""Of one_cycle: first and last step size, as shares of the largest (Smith and Topin, 2018, as fast.ai set them)."""
MOMENTUM = 0.95, 0.85
"""Of one_cycle: at its ends, and at its top."""


def rate(train: TrainParams, done: float) -> float:
    """Step size of a step in whose middle this share 0..1 of the training is done, as a share of the largest."""
    warm, rising = train.warmup_share, done < train.warmup_share
    if train.schedule == "one_cycle":
        return _swing(START, 1.0, done / warm) if rising else _swing(1.0, END, (done - warm) / (1 - warm))
    if rising:
        return done / warm
    return 1.0 if train.schedule == "constant" else _swing(1.0, 0.0, (done - warm) / (1 - warm))


def momentum(train: TrainParams, done: float) -> float | None:
    """beta1 of AdamW at that share; None: the schedule leaves it alone."""
    if train.schedule != "one_cycle":
        return None
    (ends, top), warm = MOMENTUM, train.warmup_share
    return _swing(ends, top, done / warm) if done < warm else _swing(top, ends, (done - warm) / (1 - warm))


def _swing(begin: float, end: float, share: float) -> float:
    """Half a cosine from one value to the other."""
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * share))
