from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

import pytest
import torch

from models.core.base import CountingModel
from models.core.batch import SessionBatch

Batch = Callable[..., SessionBatch]
Build = Callable[..., CountingModel]


def weights(model: CountingModel, session: SessionBatch) -> dict[int, float]:
    return {item: round(float(score), 4) for item, score in enumerate(model.scores(session)[0]) if item and score > 1e-5}


@pytest.mark.parametrize(
    ("steps", "rules", "expected"),
    [
        (3, 9, {1: round(1 / 3, 4), 2: 2.0, 3: 0.5, 4: 0.5}),  # of [1, 2, 3, 1] and [1, 2, 4]
        (1, 9, {2: 2.0}),
        (2, 9, {2: 2.0, 3: 0.5, 4: 0.5}),
        (3, 2, {2: 2.0, 3: 0.5}),  # 3 and 4 weigh the same: the lower index stays
    ],
)
def test_what_followed_sooner_weighs_more(build: Build, batch: Batch, steps: int, rules: int, expected: dict[int, float]) -> None:
    model = build("sequential_rules", steps=steps, rules=rules)
    model.fit(batch([1, 2, 3, 1], [1, 2, 4]))
    assert weights(model, batch([4, 1])) == expected


def test_rules_have_a_direction(build: Build, batch: Batch) -> None:
    model = build("sequential_rules", steps=5, rules=9)
    model.fit(batch([1, 2]))
    assert weights(model, batch([2])) == {}


def test_tensors_and_dictionaries_agree(build: Build, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.core.pairs.PAIRS_AT_ONCE", 40)  # several parts
    rng = random.Random(6)
    rows = [[rng.randint(1, 9) for _ in range(rng.randint(1, 6))] for _ in range(50)]
    model = build("sequential_rules", steps=3, rules=9)
    model.fit(batch(*rows))
    rules: dict[tuple[int, int], float] = defaultdict(float)
    for row in rows:
        for later, item in enumerate(row):
            for earlier in range(max(0, later - 3), later):
                rules[row[earlier], item] += 1 / (later - earlier)
    asked = [[rng.randint(1, 9) for _ in range(rng.randint(1, 6))] for _ in range(20)]
    expected = torch.tensor([[rules[session[-1], item] for item in range(1, 10)] for session in asked], dtype=torch.float64)
    torch.testing.assert_close(model.scores(batch(*asked))[:, 1:].double(), expected, rtol=1e-5, atol=1e-5)
