from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from models.core.base import SessionModel
from models.core.batch import SessionBatch

Batch = Callable[..., SessionBatch]
Build = Callable[..., SessionModel]


@pytest.mark.parametrize("positions", ["learned", "relative", "none"])
def test_the_loss_is_the_cross_entropy_of_every_next_event(build: Build, batch: Batch, positions: str) -> None:
    model = build("sasrec", positions=positions, loss="full_softmax", label_smoothing=0.0).eval()
    whole = batch([1, 2, 3], [4, 5])
    expected = functional.cross_entropy(model.scores_everywhere(whole)[:, 1:], torch.tensor([2, 3, 5]) - 1)
    torch.testing.assert_close(model.loss(whole), expected)


def test_the_time_is_read_only_where_it_is_asked_for(build: Build) -> None:
    with_time, without = (build("sasrec", columns=["price"], time_bias=asked) for asked in (True, False))
    assert type(with_time).columns(with_time.config) == ("price", "timestamp")
    assert type(without).columns(without.config) == ("price",)


def test_the_time_between_events_changes_scores_the_time_of_day_does_not(build: Build) -> None:
    torch.manual_seed(0)
    model = build("sasrec", time_bias=True).eval()
    torch.nn.init.normal_(model.transformer.pairs.times)

    def scores(*seconds: int) -> torch.Tensor:
        times = torch.tensor([seconds]) * 1_000_000
        return model.scores(SessionBatch(torch.tensor([[1, 2, 3]]), torch.tensor([3]), {"timestamp": times}))

    torch.testing.assert_close(scores(0, 5, 9), scores(7_000, 7_005, 7_009))
    assert (scores(0, 5, 9) - scores(0, 5, 900))[:, 1:].abs().max() > 1e-4


def test_bfloat16_products_give_nearly_the_same_loss_and_gradients(build: Build, batch: Batch) -> None:
    torch.manual_seed(0)
    model, whole = build("sasrec", positions="relative").eval(), batch([1, 2, 3, 4], [4, 5])
    found = []
    for low in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = model.loss(whole)
        loss.backward()
        found.append((loss.detach(), model.transformer.pairs.places.grad.clone(), model.head.table.weight.grad.clone()))
    for exact, low in zip(*found, strict=True):
        assert (exact - low).abs().max() < 0.05 * exact.abs().max()
