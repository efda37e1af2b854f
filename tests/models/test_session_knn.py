from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from models.core.base import CountingModel
from models.core.batch import SessionBatch

Batch = Callable[..., SessionBatch]
PLAIN = {"method": "v_sknn", "neighbours": 100, "sample_size": 100, "max_sessions": 100, "idf": "none", "decay": "none"}


@pytest.fixture
def fitted(build: Callable[..., CountingModel], batch: Batch) -> Callable[..., CountingModel]:
    def make(rows: Sequence[Sequence[int]] = ([1, 2, 3], [2, 4], [5, 6]), **changes: Any) -> CountingModel:
        model = build("session_knn", **{**PLAIN, **changes})
        model.fit(batch(*rows))
        return model

    return make


def votes(model: CountingModel, session: SessionBatch) -> dict[int, float]:
    """Items with a vote; what popularity adds (at most a millionth) is rounded away."""
    return {item: round(float(score), 4) for item, score in enumerate(model.scores(session)[0]) if item and score > 1e-5}


def test_similarity_is_the_sum_of_the_weights_of_the_shared_items(fitted: Callable[..., CountingModel], batch: Batch) -> None:
    # [1, 2] weighs 1/2 and 2/2: 1.5 for [1, 2, 3], 1 for [2, 4], nothing for [5, 6]
    assert votes(fitted(), batch([1, 2])) == {1: 1.5, 2: 2.5, 3: 1.5, 4: 1.0}


def test_a_repeated_item_weighs_as_its_last_event(fitted: Callable[..., CountingModel], batch: Batch) -> None:
    # [2, 1, 2] weighs 3/3 for 2 and 2/3 for 1
    assert votes(fitted(), batch([2, 1, 2]))[3] == round(5 / 3, 4)


def test_only_the_nearest_sessions_vote(fitted: Callable[..., CountingModel], batch: Batch) -> None:
    assert votes(fitted(neighbours=1), batch([1, 2])) == {1: 1.5, 2: 1.5, 3: 1.5}


def test_of_equal_sessions_the_newer_one_votes(fitted: Callable[..., CountingModel], batch: Batch) -> None:
    assert votes(fitted(neighbours=1), batch([2])) == {2: 1.0, 4: 1.0}


def test_only_the_newest_sessions_are_compared(fitted: Callable[..., CountingModel], batch: Batch) -> None:
    assert votes(fitted(sample_size=1), batch([1, 2])) == {2: 1.0, 4: 1.0}


def test_only_the_newest_sessions_are_kept(fitted: Callable[..., CountingModel], batch: Batch) -> None:
    assert votes(fitted(max_sessions=2), batch([1, 2])) == {2: 1.0, 4: 1.0}


@pytest.mark.parametrize(("decay", "expected"), [("none", 0.5), ("linear", 0.5 * 0.8), ("reciprocal", 0.5 * 0.5)])
def test_a_vote_falls_with_the_steps_since_the_shared_item(
    fitted: Callable[..., CountingModel], batch: Batch, decay: str, expected: float
) -> None:
    # of [2, 9] only 2 is shared, two steps from the end
    assert votes(fitted(decay=decay), batch([2, 9]))[4] == expected


def test_items_without_a_vote_go_by_popularity(fitted: Callable[..., CountingModel], batch: Batch) -> None:
    scores = fitted([[1, 2], [3, 4], [4, 5]]).scores(batch([1]))[0]
    assert 0 < scores[3] < scores[4] < 1e-5


def reference(rows: list[list[int]], session: list[int], num_items: int, settings: dict[str, Any]) -> list[float]:
    """V-SKNN with dictionaries and loops, as the paper describes it."""
    rows = rows[-settings["max_sessions"] :]
    support = defaultdict(int)
    for row in rows:
        for item in set(row):
            support[item] += 1
    idf = {item: math.log(len(rows) / count) for item, count in support.items()}
    position = {item: place for place, item in enumerate(session, 1)}
    in_similarity, in_votes = settings["idf"] in ("similarity", "both"), settings["idf"] in ("votes", "both")
    sharing = [number for number, row in enumerate(rows) if set(row) & set(session)][-settings["sample_size"] :]

    def similarity(number: int) -> float:
        shared = set(rows[number]) & set(session)
        return sum(position[item] / len(session) * (round(1024 * idf[item]) / 1024 if in_similarity else 1) for item in shared)

    nearest = sorted(sharing, key=lambda number: (-round(similarity(number), 9), -number))[: settings["neighbours"]]
    scores = [0.0] * (num_items + 1)
    for number in nearest:
        steps = len(session) - max(position[item] for item in set(rows[number]) & set(session)) + 1
        fall = {"none": 1.0, "linear": max(0.0, 1 - steps / 10), "reciprocal": 1 / steps}[settings["decay"]]
        for item in set(rows[number]):
            scores[item] += similarity(number) * fall * (idf[item] if in_votes else 1)
    return scores


@pytest.mark.parametrize("idf", ["none", "both"])
@pytest.mark.parametrize("decay", ["none", "linear"])
def test_tensors_and_loops_agree(fitted: Callable[..., CountingModel], batch: Batch, idf: str, decay: str) -> None:
    rng = random.Random(3)
    rows = [[rng.randint(1, 8) for _ in range(rng.randint(1, 6))] for _ in range(60)]
    settings = {"neighbours": 7, "sample_size": 20, "max_sessions": 50, "idf": idf, "decay": decay}
    model = fitted(rows, **settings)
    asked = [[rng.randint(1, 9) for _ in range(rng.randint(1, 6))] for _ in range(30)]
    expected = torch.tensor([reference(rows, session, 9, settings) for session in asked])
    torch.testing.assert_close(model.scores(batch(*asked))[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-5)
