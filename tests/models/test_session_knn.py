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


VSTAN = {**PLAIN, "method": "vstan", **dict.fromkeys(("lambda_spw", "lambda_snh_days", "lambda_inh", "lambda_ipw", "lambda_idf"))}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # [1, 9, 2] shares 1 and 2 with [1, 2, 3] (cosine 2 / sqrt 3) and 2 with [2, 4] (1 / sqrt 2): 1 and 0.6124 of the nearest
        ({}, {1: 1.0, 2: 1.6124, 3: 1.0, 4: 0.6124}),
        # 1 weighs exp(-2/2): 1.3679 / sqrt 3 and 1 / sqrt 2, which is 0.8954 of it
        ({"lambda_spw": 2.0}, {1: 1.0, 2: 1.8954, 3: 1.0, 4: 0.8954}),
        # the latest shared item is the second of the first session: 1 and 3 stand one event from it; in [2, 4] 4 does
        ({"lambda_inh": 1.0}, {1: 0.3679, 2: 1.6124, 3: 0.3679, 4: round(0.6124 / math.e, 4)}),
        # the sessions share the last event of the session: nothing falls
        ({"lambda_ipw": 1.0}, {1: 1.0, 2: 1.6124, 3: 1.0, 4: 0.6124}),
        # 2 stands in two of three sessions, the other items in one
        (
            {"lambda_idf": 2.0},
            {
                1: round(1 + 2 * math.log(3), 4),
                2: round((1 + 0.61237244) * (1 + 2 * math.log(1.5)), 4),
                3: round(1 + 2 * math.log(3), 4),
                4: round(0.61237244 * (1 + 2 * math.log(3)), 4),
            },
        ),
    ],
)
def test_vstan_weighs_by_position_distance_and_rarity(
    fitted: Callable[..., CountingModel], batch: Batch, changes: dict[str, float], expected: dict[int, float]
) -> None:
    assert votes(fitted(**{**VSTAN, **changes}), batch([1, 9, 2])) == expected


def test_vstan_votes_fall_with_the_position_of_the_shared_item(fitted: Callable[..., CountingModel], batch: Batch) -> None:
    assert votes(fitted(**{**VSTAN, "lambda_ipw": 2.0}), batch([4, 9]))[2] == round(math.exp(-1 / 2), 4)


def test_vstan_prefers_newer_sessions(build: Callable[..., CountingModel], batch: Batch) -> None:
    model = build("session_knn", **{**VSTAN, "lambda_snh_days": 2.0})
    assert model.columns(model.config) == ("timestamp",)
    rows = batch([1, 2], [1, 3], [5, 6])
    ends = torch.tensor([1, 4, 9])[:, None] * 86_400_000_000  # the first event of a session is of no account
    starts_and_ends = torch.cat([torch.zeros_like(ends), ends], 1)
    model.fit(SessionBatch(rows.items, rows.lengths, {"timestamp": starts_and_ends}))
    # three days between [1, 2] and [1, 3]
    assert votes(model, batch([1])) == {1: round(1 + math.exp(-1.5), 4), 2: round(math.exp(-1.5), 4), 3: 1.0}


def test_vstan_without_the_times_it_asks_for_says_so(build: Callable[..., CountingModel], batch: Batch) -> None:
    with pytest.raises(ValueError, match=r"lambda_snh_days.*timestamp"):
        build("session_knn", **{**VSTAN, "lambda_snh_days": 2.0}).fit(batch([1, 2]))


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


def vstan_reference(
    rows: list[list[int]], ends_days: list[float], session: list[int], num_items: int, settings: dict[str, Any]
) -> list[float]:
    """VSTAN with dictionaries and loops, as the papers describe it."""
    rows, ends_days = rows[-settings["max_sessions"] :], ends_days[-settings["max_sessions"] :]

    def fall(distance: float, name: str) -> float:
        return 1.0 if settings[name] is None else math.exp(-distance / settings[name])

    weight = {item: fall(len(session) - place, "lambda_spw") for place, item in enumerate(session, 1)}
    sharing = [number for number, row in enumerate(rows) if set(row) & set(session)][-settings["sample_size"] :]
    similarity = {}
    for number in sharing:
        cosine = sum(weight[item] for item in set(rows[number]) & set(session)) / math.sqrt(len(set(rows[number])))
        similarity[number] = cosine * fall(max(ends_days) - ends_days[number], "lambda_snh_days")
    largest = max(similarity.values(), default=1.0)
    nearest = sorted(sharing, key=lambda number: (-round(similarity[number] / largest, 9), -number))[: settings["neighbours"]]
    scores = [0.0] * (num_items + 1)
    for number in nearest:
        row = rows[number]
        latest_here = max(place for place, item in enumerate(row, 1) if item in session)
        latest_there = max(place for place, item in enumerate(session, 1) if item in row)
        for item in set(row):
            last = max(place for place, other in enumerate(row, 1) if other == item)
            rarity = math.log(len(rows) / sum(item in other for other in rows))
            vote = similarity[number] / largest * fall(abs(last - latest_here), "lambda_inh")
            vote *= fall(len(session) - latest_there, "lambda_ipw")
            scores[item] += vote * (1 + (settings["lambda_idf"] or 0) * rarity)
    return scores


@pytest.mark.parametrize("sample_size", [20, 60])
@pytest.mark.parametrize("lambdas", [(None,) * 5, (2.0, 3.0, 1.5, 4.0, 2.0)])
def test_vstan_in_tensors_and_in_loops_agree(
    build: Callable[..., CountingModel], batch: Batch, lambdas: tuple[float | None, ...], sample_size: int
) -> None:
    rng = random.Random(4)
    rows = [[rng.randint(1, 8) for _ in range(rng.randint(1, 6))] for _ in range(60)]
    ends_days = sorted(rng.uniform(0, 9) for _ in rows)
    names = ("lambda_spw", "lambda_snh_days", "lambda_inh", "lambda_ipw", "lambda_idf")
    settings = {
        **VSTAN,
        "neighbours": 7,
        "sample_size": sample_size,
        "max_sessions": 50,
        **dict(zip(names, lambdas, strict=True)),
    }
    model, known = build("session_knn", **settings), batch(*rows)
    times = torch.tensor(ends_days, dtype=torch.float64)[:, None].expand_as(known.items) * 86_400_000_000
    model.fit(SessionBatch(known.items, known.lengths, {"timestamp": times.long()}))
    asked = [[rng.randint(1, 9) for _ in range(rng.randint(1, 6))] for _ in range(30)]
    expected = torch.tensor([vstan_reference(rows, ends_days, session, 9, settings) for session in asked])
    torch.testing.assert_close(model.scores(batch(*asked))[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-5)


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
