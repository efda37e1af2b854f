from __future__ import annotations

import pytest
import torch

from models.core.dropout import Dropout


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_that_share_is_blanked_the_rest_is_raised(share: float) -> None:
    torch.manual_seed(0)
    found = Dropout(share)(torch.full((1000, 103), 3.0))
    assert set(found.unique().tolist()) == {0.0, 3 / (1 - share)}
    assert abs((found == 0).float().mean().item() - share) < 0.005
    for column in range(8):  # each byte of the words that are drawn
        assert abs((found.flatten()[column::8] == 0).float().mean().item() - share) < 0.02


def test_gradients_pass_where_numbers_do() -> None:
    values = torch.ones(50, requires_grad=True)
    found = Dropout(0.5)(values)
    found.sum().backward()
    assert torch.equal(values.grad, found.detach())


def test_nothing_happens_outside_training_or_without_a_share() -> None:
    values = torch.randn(5, 5)
    assert Dropout(0.9).eval()(values) is values
    assert Dropout(0.0)(values) is values


def test_same_seed_same_blanks() -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        found.append(Dropout(0.3)(torch.ones(100)))
    assert torch.equal(*found)
