from __future__ import annotations

import pytest
import torch

from models.core.negatives import Negatives

COUNTS = torch.tensor([0, 15, 0, 3, 8])  # of padding and items 1..4: (events + 1)^0.5 are 4, 1, 2, 3


def told(power: float) -> Negatives:
    negatives = Negatives(4, power)
    negatives.know(COUNTS)
    return negatives


@pytest.mark.parametrize(
    ("power", "shares"), [(0.5, [0.4, 0.1, 0.2, 0.3]), (0.0, [0.25] * 4), (1.0, [16 / 30, 1 / 30, 4 / 30, 0.3])]
)
def test_items_are_drawn_by_their_popularity_to_a_power_and_padding_never(power: float, shares: list[float]) -> None:
    torch.manual_seed(0)
    found = torch.bincount(told(power).draw(200_000), minlength=5) / 200_000
    assert found[0] == 0
    torch.testing.assert_close(found[1:], torch.tensor(shares), rtol=0, atol=0.005)  # four times the deviation at most


def test_the_seed_decides_what_is_drawn() -> None:
    negatives, drawn = told(0.5), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(negatives.draw(100))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_an_items_expected_rows_are_those_drawn_and_those_met_as_others_targets() -> None:
    negatives, items = told(0.5), torch.tensor([1, 2])
    torch.testing.assert_close(negatives.log_expected(items, 20, 0).exp(), torch.tensor([8.0, 2.0]))
    torch.testing.assert_close(negatives.log_expected(items, 20, 30).exp(), torch.tensor([8.0 + 16.0, 2.0 + 1.0]))


def test_who_was_told_nothing_says_so() -> None:
    with pytest.raises(RuntimeError, match="know"):
        Negatives(4, 0.5).draw(3)


def test_what_follows_from_the_counts_is_not_stored() -> None:
    assert told(0.5).state_dict() == {}
