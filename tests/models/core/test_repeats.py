"""A state points at events of its session: against a softmax over all items that is written out in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from models.core.base import SessionModel
from models.core.batch import SessionBatch
from models.core.repeats import Points, RepeatsModel

Build, Batch = Callable[..., SessionModel], Callable[..., SessionBatch]


def pointing(build: Build, similarity: str) -> RepeatsModel:
    """A model in float64 that points strongly, without dropout."""
    torch.manual_seed(1)
    model = build("gru4rec", repeats=True, similarity=similarity).eval().double()
    assert isinstance(model, RepeatsModel)
    assert model.points is not None
    with torch.no_grad():
        for parameter in model.points.parameters():
            parameter.normal_()
    return model


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_the_loss_is_the_cross_entropy_of_the_scores(build: Build, batch: Batch, similarity: str) -> None:
    model, sessions = pointing(build, similarity), batch([1, 2, 1, 1, 3], [4, 4], [5, 6, 5, 7, 6, 5])
    assert model.points is not None
    states = model.states(sessions)
    points = model.points(states).double()
    rows = []
    for row, length in enumerate(sessions.lengths.tolist()):
        for end in range(1, length):
            scores = (model.head.scores_of(states[row : row + 1], torch.arange(10)[None])[0, end - 1]).clone()
            for event in range(end):
                scores[sessions.items[row, event]] += points[row, end - 1, event]
            rows.append(scores)
    expected = functional.cross_entropy(torch.stack(rows)[:, 1:], sessions.targets() - 1)
    names, parameters = zip(*model.named_parameters(), strict=True)
    torch.testing.assert_close(model.loss(sessions), expected, rtol=1e-5, atol=1e-5)
    found_grads = torch.autograd.grad(model.loss(sessions), parameters, allow_unused=True, materialize_grads=True)
    expected_grads = torch.autograd.grad(expected, parameters, allow_unused=True, materialize_grads=True)
    for name, found, wanted in zip(names, found_grads, expected_grads, strict=True):
        keep = torch.ones_like(wanted, dtype=torch.bool)
        if name in ("head.table.weight", "head.bias"):
            keep[0] = False  # padding gets no gradient
        torch.testing.assert_close(found[keep], wanted[keep], rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_an_item_gains_what_all_its_events_are_pointed_at(build: Build, batch: Batch) -> None:
    model = pointing(build, "dot").float()
    assert model.points is not None
    with torch.no_grad():
        for parameter in model.points.parameters():
            parameter.zero_()
        without = model.scores(batch([3, 5, 3]))
        model.points.by_distance[:3] = torch.tensor([1.0, 10.0, 100.0])
        gained = model.scores(batch([3, 5, 3])) - without
    torch.testing.assert_close(gained[0, [3, 5, 4]], torch.tensor([101.0, 10.0, 0.0]), rtol=0, atol=1e-4)


def test_a_later_event_is_not_pointed_at() -> None:
    points = Points(4, 6, 0.0)(torch.randn(2, 5, 4))
    assert points.triu(1).abs().max() == 0
    assert points.tril().abs().min() > 0 or points.tril().abs().sum() > 0


def test_points_need_all_items_in_the_softmax(build: Build) -> None:
    with pytest.raises(ValidationError, match="needs loss: full_softmax"):
        build("gru4rec", repeats=True, loss="bpr_max")
