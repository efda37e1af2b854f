from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.core.recurrent import GRU


def pair(size: int, hidden: int, layers: int, kind: torch.dtype = torch.float64) -> tuple[GRU, nn.GRU]:
    """Ours and torch's, with the same weights."""
    torch.manual_seed(0)
    ours, theirs = GRU(size, hidden, layers).to(kind), nn.GRU(size, hidden, layers, batch_first=True).to(kind)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def gradients(states: Tensor, inputs: Tensor, model: nn.Module) -> dict[str, Tensor]:
    wanted = torch.randn(states.shape, generator=torch.Generator().manual_seed(1)).to(states.dtype)
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(["inputs", *names], torch.autograd.grad(states, [inputs, *parameters], wanted), strict=True))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize(("size", "hidden"), [(12, 12), (5, 37), (64, 32)])
def test_states_and_gradients_are_those_of_torch(layers: int, length: int, size: int, hidden: int) -> None:
    ours, theirs = pair(size, hidden, layers)
    inputs = torch.randn(9, length, size, dtype=torch.float64, requires_grad=True)
    found, expected = ours(inputs), theirs(inputs)[0]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, inputs, ours), gradients(expected, inputs, theirs))


def test_in_bfloat16_it_is_as_near_to_the_exact_gradients_as_torch() -> None:
    ours, theirs = pair(50, 50, 2, torch.float32)
    inputs = torch.randn(40, 6, 50, requires_grad=True)
    exact = gradients(theirs(inputs)[0], inputs, theirs)
    with torch.autocast("cpu", torch.bfloat16):
        low, low_of_torch = ours(inputs), theirs(inputs)[0]
    assert low.dtype == low_of_torch.dtype == torch.float32
    torch.testing.assert_close(low, low_of_torch, rtol=0, atol=0.02)
    found, of_torch = gradients(low, inputs, ours), gradients(low_of_torch, inputs, theirs)
    for name, gradient in exact.items():
        assert (found[name] - gradient).norm() < 1.2 * (of_torch[name] - gradient).norm(), name


def test_training_and_using_it_give_the_same_states() -> None:
    ours, _ = pair(6, 10, 2, torch.float32)
    inputs = torch.randn(4, 5, 6)
    torch.testing.assert_close(ours.train()(inputs), ours.eval()(inputs))


def test_weights_have_the_names_that_torch_gives_them() -> None:
    ours, theirs = pair(3, 4, 2)
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_training_blanks_states_between_layers_only() -> None:
    torch.manual_seed(0)
    for layers, same in ((1, True), (2, False)):
        model = GRU(8, 8, layers, dropout=0.5)
        inputs = torch.randn(3, 4, 8)
        assert torch.allclose(model.train()(inputs), model.eval()(inputs), atol=1e-6) == same


def test_gradients_can_be_taken_again_only_if_the_graph_is_kept() -> None:
    ours, _ = pair(4, 4, 1)
    states = ours(torch.randn(2, 3, 4, dtype=torch.float64))
    once, again = (torch.autograd.grad(states.sum(), ours.weight_hh_l0, retain_graph=kept)[0] for kept in (True, False))
    assert torch.equal(once, again)
    with pytest.raises(RuntimeError, match="second time"):
        states.sum().backward()
