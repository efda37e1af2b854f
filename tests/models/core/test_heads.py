from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.nn import functional

from models.core.heads import HeadConfig, ItemHead

V, D, P = 10, 8, 6
VALUES: dict[str, Any] = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text())["zoo"]["gru4rec"]
COUNTS = torch.tensor([0, 9, 4, 0, 1, 30, 2, 7, 3, 5])


def head(**changes: Any) -> ItemHead:
    torch.manual_seed(3)
    values = {**VALUES, "hidden_size": D, **changes}
    built = ItemHead(HeadConfig.model_validate({name: values[name] for name in HeadConfig.model_fields}), V - 1)
    built.know(COUNTS)
    return built


def states_and_targets() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    return torch.randn(P, D, requires_grad=True), torch.tensor([1, 5, 5, 2, 9, 7])


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_full_softmax_is_the_cross_entropy_of_the_scores(similarity: str) -> None:
    built, (states, targets) = head(loss="full_softmax", similarity=similarity, label_smoothing=0.2), states_and_targets()
    expected = functional.cross_entropy(built.scores(states)[:, 1:], targets - 1, label_smoothing=0.2)
    torch.testing.assert_close(built.loss(states, targets), expected)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("in_batch", [False, True])
def test_with_logq_a_large_sample_is_as_good_as_all_items(similarity: str, in_batch: bool) -> None:
    """An unbiased sum: 200,000 rows leave it within a percent. The targets of the batch are drawn by popularity, too."""
    built = head(loss="sampled_softmax", logq=1.0, negatives=200_000, similarity=similarity, in_batch_negatives=in_batch)
    states, targets = states_and_targets()
    full = functional.cross_entropy(built.scores(states)[:, 1:], targets - 1)
    torch.testing.assert_close(built.loss(states, targets), full, rtol=0, atol=0.01)


def test_without_logq_popular_items_weigh_more() -> None:
    """Each item's exponential counts as often as the item is drawn: here about 200,000 * (events + 1) / sum."""
    built = head(loss="sampled_softmax", logq=0.0, negatives=200_000, popularity_power=1.0, in_batch_negatives=False)
    states, targets = states_and_targets()
    scores = built.scores(states)
    weights = (COUNTS + 1).float()
    weights[0] = 0
    often = (200_000 * weights / weights.sum()).log().expand(P, V).scatter(1, targets[:, None], 0.0)
    expected = functional.cross_entropy((scores + often)[:, 1:], targets - 1)
    torch.testing.assert_close(built.loss(states, targets), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax", "bpr_max", "gbce"])
@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("in_batch", [False, True])
def test_every_loss_teaches_what_comes_next(loss: str, similarity: str, in_batch: bool) -> None:
    changes = {"similarity": similarity, "in_batch_negatives": in_batch, "temperature": 0.2}
    built, (states, _) = head(loss=loss, negatives=16, **changes), states_and_targets()
    targets, learned = torch.tensor([1, 5, 4, 2, 9, 7]), torch.nn.Parameter(states.detach())
    optimizer = torch.optim.Adam([*built.parameters(), learned], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        built.loss(learned, targets).backward()
        optimizer.step()
    assert built.scores(learned).argmax(1).tolist() == targets.tolist()
    assert built.table.weight[0].abs().sum() == 0


def test_cosine_has_no_bias_and_scores_within_the_temperature() -> None:
    built, (states, _) = head(similarity="cosine", temperature=0.1), states_and_targets()
    assert [name for name, _ in built.named_parameters()] == ["table.weight"]
    assert built.scores(100 * states)[:, 1:].abs().max() <= 10


def test_one_state_has_no_others_targets_to_learn_from() -> None:
    built, (states, targets) = head(loss="sampled_softmax", in_batch_negatives=True), states_and_targets()
    assert torch.isfinite(built.loss(states[:1], targets[:1]))


def test_a_head_that_was_told_no_counts_says_so() -> None:
    values = {name: VALUES[name] for name in HeadConfig.model_fields}
    built = ItemHead(HeadConfig.model_validate({**values, "hidden_size": D, "loss": "bpr_max"}), V - 1)
    with pytest.raises(RuntimeError, match="know"):
        built.loss(*states_and_targets())
