from __future__ import annotations

from collections.abc import Callable

from models.core.base import CountingModel
from models.core.batch import SessionBatch


def test_scores_are_the_counts_of_training_events(
    build: Callable[..., CountingModel], batch: Callable[..., SessionBatch]
) -> None:
    model = build("popularity")
    model.fit(batch([5, 5, 6], [6, 7, 5]))
    assert model.scores(batch([1], [2, 5]))[:, 5:8].tolist() == [[3, 2, 1], [3, 2, 1]]
