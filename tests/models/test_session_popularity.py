from __future__ import annotations

from collections.abc import Callable

from models.core.base import CountingModel
from models.core.batch import SessionBatch


def test_count_then_recency_then_popularity(build: Callable[..., CountingModel], batch: Callable[..., SessionBatch]) -> None:
    model = build("session_popularity")
    model.fit(batch([5, 5, 5, 6], [6, 7, 5]))  # 5 four times, 6 twice, 7 once
    scores = model.scores(batch([3, 1, 3, 2]))
    # 3 twice in the session; of 1 and 2 the later one; then by popularity
    assert scores[0].topk(6).indices.tolist() == [3, 2, 1, 5, 6, 7]
