from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from models.core.base import SessionModel
from models.core.batch import SessionBatch


def test_the_loss_is_the_cross_entropy_of_every_next_event(
    build: Callable[..., SessionModel], batch: Callable[..., SessionBatch]
) -> None:
    model = build("gru4rec").eval()  # no dropout
    whole = batch([1, 2, 3], [4, 5])
    expected = functional.cross_entropy(model.scores_everywhere(whole)[:, 1:], torch.tensor([2, 3, 5]) - 1)
    torch.testing.assert_close(model.loss(whole), expected)


def test_padding_has_no_vector_and_gets_no_gradient(
    build: Callable[..., SessionModel], batch: Callable[..., SessionBatch]
) -> None:
    model = build("gru4rec")
    assert model.head.table.weight[0].abs().sum() == 0
    model.loss(batch([1, 2, 3], [4, 5])).backward()
    assert model.head.table.weight.grad[0].abs().sum() == 0


def test_an_empty_session_is_scored_without_failing(
    build: Callable[..., SessionModel], batch: Callable[..., SessionBatch]
) -> None:
    empty = SessionBatch(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    assert torch.isfinite(build("gru4rec").eval().scores(empty)[:, 1:]).all()
