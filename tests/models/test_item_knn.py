from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from itertools import combinations

import pytest
import torch

from models.core.base import CountingModel
from models.core.batch import SessionBatch

Batch = Callable[..., SessionBatch]
Build = Callable[..., CountingModel]
PLAIN = {"neighbours": 9, "regularization": 0.0, "balance": 0.5, "session_decay": 0.0}
SESSIONS = [[1, 2, 2], [2, 1, 3], [2, 4], [2]]  # sessions with 1: two, 2: four, 3 and 4: one


def similar(model: CountingModel, session: SessionBatch) -> dict[int, float]:
    return {item: round(float(score), 4) for item, score in enumerate(model.scores(session)[0]) if item and score > 1e-5}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {1: round(2 / math.sqrt(8), 4), 3: 0.5, 4: 0.5}),
        (
            {"regularization": 1.0},
            {1: round(2 / math.sqrt(15), 4), 3: round(1 / math.sqrt(10), 4), 4: round(1 / math.sqrt(10), 4)},
        ),
        ({"balance": 1.0}, {1: 0.5, 3: 0.25, 4: 0.25}),  # of four sessions with 2
        ({"balance": 0.0}, {1: 1.0, 3: 1.0, 4: 1.0}),  # of all sessions with the candidate
        ({"neighbours": 2}, {1: round(2 / math.sqrt(8), 4), 3: 0.5}),  # 3 and 4 are alike: the lower index stays
    ],
)
def test_items_of_the_same_sessions_are_alike(
    build: Build, batch: Batch, changes: dict[str, float], expected: dict[int, float]
) -> None:
    model = build("item_knn", **{**PLAIN, **changes})
    model.fit(batch(*SESSIONS))
    assert similar(model, batch([9, 2])) == expected


def test_earlier_items_count_less(build: Build, batch: Batch) -> None:
    model = build("item_knn", **{**PLAIN, "session_decay": 0.5})
    model.fit(batch(*SESSIONS))
    # 4 is like 2 alone, by 1/2; 2 then adds half of what it is like
    assert similar(model, batch([2, 4])) == {1: round(0.5 * 2 / math.sqrt(8), 4), 2: 0.5, 3: 0.25, 4: 0.25}


def test_sessions_of_one_item_leave_popularity(build: Build, batch: Batch) -> None:
    model = build("item_knn", **PLAIN)
    model.fit(batch([3], [3], [4]))
    scores = model.scores(batch([4]))[0]
    assert scores[3] > scores[4] > scores[5] == 0


def test_tensors_and_dictionaries_agree(build: Build, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.core.pairs.PAIRS_AT_ONCE", 40)  # several parts
    rng = random.Random(5)
    rows = [[rng.randint(1, 9) for _ in range(rng.randint(1, 6))] for _ in range(50)]
    model = build("item_knn", **{**PLAIN, "regularization": 3.0, "balance": 0.3, "session_decay": 0.7})
    model.fit(batch(*rows))
    support = Counter(item for row in rows for item in set(row))
    both = Counter(pair for row in rows for pair in combinations(sorted(set(row)), 2))
    asked = [[rng.randint(1, 9) for _ in range(rng.randint(1, 6))] for _ in range(20)]
    expected = torch.zeros(len(asked), 10, dtype=torch.float64)
    for number, session in enumerate(asked):
        for back, item in enumerate(reversed(session)):
            for other in range(1, 10):
                if other != item:
                    norm = (support[item] + 3) ** 0.3 * (support[other] + 3) ** 0.7
                    expected[number, other] += 0.7**back * both[min(item, other), max(item, other)] / norm
    torch.testing.assert_close(model.scores(batch(*asked))[:, 1:].double(), expected[:, 1:], rtol=1e-5, atol=1e-5)
