from __future__ import annotations

import pytest
import torch

from models.core.batch import SessionBatch
from models.core.masking import VISIBLE, MaskingConfig, hide, random_ends, random_ranks, with_next, without_times_of


@pytest.mark.parametrize("share", [0.15, 0.5, 0.9])
def test_that_share_of_the_events_is_hidden(share: float) -> None:
    torch.manual_seed(0)
    rank = random_ranks(torch.full((4000,), 10), 12, share)
    hidden = rank != VISIBLE
    counts = hidden.sum(1)
    assert abs(counts.float().mean().item() - 10 * share) < 0.1
    assert counts.min() >= int(10 * share)
    assert counts.max() <= int(10 * share) + 1
    assert not hidden[:, 10:].any()
    assert (hidden[:, :10].float().mean(0) - share).abs().max() < 0.04  # no place is preferred


def test_at_least_one_event_is_hidden_and_never_all() -> None:
    lengths = torch.tensor([1, 2, 3, 2, 3] * 50)
    for share in (0.01, 0.99):
        counts = (random_ranks(lengths, 3, share) != VISIBLE).sum(1)
        assert (counts[lengths == 1] == 0).all()
        assert (counts[lengths > 1] >= 1).all()
        assert (counts < lengths).all()


def test_ranks_are_a_random_order_of_the_hidden_events() -> None:
    torch.manual_seed(0)
    rank = random_ranks(torch.full((600,), 4), 4, 0.5)
    assert (rank.sort(1).values == torch.tensor([VISIBLE, VISIBLE, 0, 1])).all()
    orders = {tuple(row) for row in rank.tolist()}
    assert len(orders) == 12  # 4 * 3: which is first, which is second


def test_a_session_is_cut_behind_any_event_but_the_first() -> None:
    torch.manual_seed(0)
    ends = random_ends(torch.full((3000,), 4))
    assert (torch.bincount(ends, minlength=5)[2:].float() / 3000 - 1 / 3).abs().max() < 0.05
    assert random_ends(torch.tensor([1, 2])).tolist() == [1, 2]


def test_where_only_the_next_event_is_asked_it_alone_is_hidden_and_nothing_follows() -> None:
    items = torch.tensor([[1, 2, 3, 4]] * 20)
    cut, rank = hide(SessionBatch(items, torch.full((20,), 4)), MaskingConfig(masked_share=0.5, next_share=1.0))
    for row, length in enumerate(cut.lengths.tolist()):
        assert rank[row].tolist() == [0 if place == length - 1 else VISIBLE for place in range(4)]
    assert cut.lengths.min() >= 2


def test_the_share_of_cut_sessions_is_kept() -> None:
    torch.manual_seed(0)
    batch = SessionBatch(torch.ones(2000, 10, dtype=torch.int64), torch.full((2000,), 10))
    _, rank = hide(batch, MaskingConfig(masked_share=0.5, next_share=0.25))
    assert abs(((rank != VISIBLE).sum(1) == 1).float().mean().item() - 0.25) < 0.03


def test_one_more_event_stands_behind_the_last_and_the_oldest_gives_way() -> None:
    given = SessionBatch(
        torch.tensor([[1, 2, 0, 0], [3, 4, 5, 6]]), torch.tensor([2, 4]), {"price": torch.tensor([[7, 8, 0, 0], [1, 2, 3, 4]])}
    )
    longer, rank = with_next(given, limit=4)
    assert longer.items.tolist() == [[1, 2, 0, 0], [4, 5, 6, 0]]
    assert longer.lengths.tolist() == [3, 4]
    assert (rank != VISIBLE).tolist() == [[False, False, True, False], [False, False, False, True]]
    assert longer.columns["price"][:, :3].tolist() == [[7, 8, 8], [2, 3, 4]]
    assert longer.columns["price"][1, 3] == 4
    roomy, rank = with_next(given, limit=9)
    assert roomy.items.tolist() == [[1, 2, 0, 0, 0], [3, 4, 5, 6, 0]]
    assert (rank != VISIBLE).nonzero().tolist() == [[0, 2], [1, 4]]


def test_a_hidden_event_has_the_time_of_the_visible_one_before() -> None:
    batch = SessionBatch(torch.tensor([[1, 2, 3, 4]]), torch.tensor([4]), {"timestamp": torch.tensor([[10, 20, 30, 40]])})
    hidden = torch.tensor([[False, True, True, False]])
    assert without_times_of(hidden, batch).columns["timestamp"].tolist() == [[10, 10, 10, 40]]
