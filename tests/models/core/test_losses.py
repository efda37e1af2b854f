from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from models.core import losses


@pytest.mark.parametrize("at_once", [1, 21, 10_000])
def test_full_softmax_equals_plain_cross_entropy_in_value_and_gradients(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setitem(losses.NUMBERS_AT_ONCE, "cpu", at_once)
    torch.manual_seed(0)
    ours = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((13, 4), (7, 4), (7,))]
    plain = [tensor.detach().clone().requires_grad_() for tensor in ours]
    targets = torch.randint(1, 7, (13,))

    states, table, bias = plain
    expected = functional.cross_entropy((states @ table.T + bias)[:, 1:], targets - 1)
    found = losses.full_softmax(*ours, targets)
    (3 * expected).backward()
    (3 * found).backward()

    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-6)


def test_a_sure_and_wrong_model_has_a_finite_loss() -> None:
    states, table = torch.tensor([[1.0]]), torch.tensor([[0.0], [1000.0], [0.0]])
    assert losses.full_softmax(states, table, torch.zeros(3), torch.tensor([2])).item() == 1000
