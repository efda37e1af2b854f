from __future__ import annotations

import math

import pytest
import torch

from pipelines import metrics

INF = float("inf")


def test_an_item_with_the_score_of_the_target_stands_before_it() -> None:
    scores = torch.tensor([[-INF, 0.9, 0.5, 0.5, 0.1], [-INF, 0.0, 0.0, 0.0, 0.0]])
    # 0.9 and the other 0.5 stand before the target 2; of four equal items the target is last
    assert metrics.ranks(scores, torch.tensor([2, 1])).tolist() == [3, 4]


def test_the_best_item_has_rank_one_and_padding_no_rank() -> None:
    assert metrics.ranks(torch.tensor([[INF, 0.2, 0.1]]), torch.tensor([1])).tolist() == [1]


def test_scores_that_are_no_numbers_never_help() -> None:
    nan = float("nan")
    assert metrics.ranks(torch.tensor([[-INF, nan, 0.5, 0.1], [-INF, 0.3, nan, 0.1]]), torch.tensor([2, 2])).tolist() == [2, 3]


def test_summary_by_hand() -> None:
    found = metrics.summary(torch.tensor([1, 3, 6, 21]))
    assert found["recall_at_1"] == 0.25
    assert found["recall_at_5"] == 0.5
    assert found["recall_at_10"] == found["recall_at_20"] == 0.75
    assert found["mrr_at_1"] == 0.25
    assert found["mrr_at_20"] == pytest.approx((1 + 1 / 3 + 1 / 6) / 4)
    assert found["ndcg_at_5"] == pytest.approx((1 + 0.5) / 4)  # 1 / log2(1 + 1), 1 / log2(3 + 1)
    assert found["ndcg_at_20"] == pytest.approx((1 + 0.5 + 1 / math.log2(7)) / 4)


def test_no_prediction_has_no_metrics() -> None:
    assert metrics.summary(torch.zeros(0, dtype=torch.int64)) == {}


def test_the_list_never_holds_padding() -> None:
    shown = metrics.top(torch.tensor([[-INF, 0.1, 0.7, 0.3]]))
    assert shown.tolist() == [[2, 3, 1]]


def test_popularity_goes_from_the_rarest_to_the_most_popular_item() -> None:
    assert metrics.relative_popularity(torch.tensor([0, 2, 10, 6])).tolist() == [0, 0, 1, 0.5]
    assert metrics.relative_popularity(torch.tensor([0, 3, 3])).tolist() == [0, 0, 0]


def shown(lists: list[list[int]], sessions: list[list[int]], counts: list[int]) -> dict[str, float]:
    """Fed in two parts, as an evaluation does."""
    found = metrics.Shown(torch.tensor(counts))
    for part in (slice(0, 1), slice(1, None)):
        found.add(torch.tensor(lists[part]), torch.tensor(sessions[part]))
    return found.summary()


def test_what_is_shown_by_hand() -> None:
    # 1, 2 and 3 of four items, 2 twice; popularity 0, 1, 0.5 and 0
    found = shown([[2, 3], [2, 1]], [[3, 3, 0], [4, 0, 0]], [0, 2, 10, 6, 2])
    assert found["coverage_at_20"] == 0.75
    assert found["mean_popularity_at_20"] == 0.625
    assert found["repeat_share_at_20"] == 0.25  # the 3 of the first list; a padded session holds no item 0
    assert found["overlap_at_20"] == 0.5  # the two lists share one item of two
    # exposure 0, 1, 1, 2: (-3 * 0 - 1 * 1 + 1 * 1 + 3 * 2) / (4 * 4)
    assert found["gini_at_20"] == pytest.approx(6 / 16)


def test_the_same_list_for_everybody_overlaps_whole_and_even_lists_have_no_gini() -> None:
    same = shown([[1, 2]] * 5, [[3]] * 5, [0, 1, 1, 1, 1])
    assert (same["overlap_at_20"], same["gini_at_20"], same["repeat_share_at_20"]) == (1, 0.5, 0)
    even = shown([[1, 2], [3, 4]], [[1], [2]], [0, 1, 1, 1, 1])
    assert (even["overlap_at_20"], even["gini_at_20"], even["repeat_share_at_20"]) == (0, 0, 0.25)


def test_nothing_shown_divides_by_nothing() -> None:
    assert set(metrics.Shown(torch.tensor([0, 2, 3])).summary().values()) == {0.0}


@pytest.mark.parametrize(("numbers", "rows"), [(1024, 2048), (10**9, 1)])
def test_rows_are_bounded_by_memory_but_never_none(numbers: int, rows: int) -> None:
    assert metrics.rows_at_once(numbers, torch.device("cpu")) == rows


@pytest.mark.parametrize("size", [2, 21, 30, 671, 672, 703, 5001])
def test_the_list_is_that_of_a_sort_of_all_items(size: int) -> None:
    scores = torch.randn(50, size, generator=torch.Generator().manual_seed(size)).round(decimals=2)  # with ties
    scores[:, 0] = -INF
    lists = metrics.top(scores)
    torch.testing.assert_close(scores.gather(1, lists), scores.topk(min(20, size - 1), 1).values, rtol=0, atol=0)
    assert all(len(set(row)) == len(row) for row in lists.tolist())
