from __future__ import annotations

from collections.abc import Callable

import torch

from models.core.base import SessionModel
from models.core.batch import SessionBatch

Batch = Callable[..., SessionBatch]
Build = Callable[..., SessionModel]


def test_what_is_known_of_a_hidden_event_does_not_come_from_itself(build: Build, batch: Batch) -> None:
    model = build("bert4rec").eval()
    hidden = torch.tensor([[False, True, False]])
    one, other = (model.read(batch([1, item, 3]), hidden) for item in (2, 7))
    assert torch.equal(one, other)
    assert (one - model.read(batch([1, 2, 4]), hidden))[0, 1].abs().max() > 1e-4  # but from what stands behind it


def test_a_longest_session_loses_its_oldest_event_to_the_next(build: Build, batch: Batch) -> None:
    model = build("bert4rec").eval()  # sessions have 6 events at most
    assert torch.equal(model.scores(batch([1, 2, 3, 4, 5, 6])), model.scores(batch([9, 2, 3, 4, 5, 6])))
    assert not torch.equal(model.scores(batch([1, 2, 3, 4, 5])), model.scores(batch([9, 2, 3, 4, 5])))


def test_the_order_of_events_matters(build: Build, batch: Batch) -> None:
    model = build("bert4rec").eval()
    assert (model.scores(batch([1, 2, 3])) - model.scores(batch([2, 1, 3])))[:, 1:].abs().max() > 1e-4


def test_scores_are_those_of_the_hidden_event_behind_the_last(build: Build, batch: Batch) -> None:
    model = build("bert4rec").eval()
    states = model.read(batch([1, 2, 9]), torch.tensor([[False, False, True]]))
    torch.testing.assert_close(model.scores(batch([1, 2])), model.head.scores(states[:, 2]))


def test_an_empty_session_is_scored_without_failing(build: Build) -> None:
    empty = SessionBatch(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    assert torch.isfinite(build("bert4rec").eval().scores(empty)[:, 1:]).all()


def test_the_time_of_what_is_asked_is_the_last_events(build: Build, batch: Batch) -> None:
    model = build("bert4rec", time_bias=True).eval()
    torch.nn.init.normal_(model.transformer.pairs.times)
    times = torch.tensor([[0, 60, 0]]) * 1_000_000
    given = SessionBatch(torch.tensor([[1, 2, 0]]), torch.tensor([2]), {"timestamp": times})
    asked = SessionBatch(torch.tensor([[1, 2, 0]]), torch.tensor([3]), {"timestamp": torch.tensor([[0, 60, 60]]) * 1_000_000})
    states = model.read(asked, torch.tensor([[False, False, True]]))
    torch.testing.assert_close(model.scores(given), model.head.scores(states[:, 2]))
    assert torch.isfinite(model.loss(given))
