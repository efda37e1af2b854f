"""Each loss against its formula, written plainly over all scores at once in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.core import losses

Loss = Callable[..., Tensor]
P, N, D, V = 70, 45, 4, 40


def random(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, requires_grad=True)


def leaves(count: int) -> list[Tensor]:
    torch.manual_seed(0)
    return [random(P, D), random(count, D), random(count)]


def assert_same(ours: Loss, plain: Loss, given: list[Tensor], rtol: float = 1e-9, atol: float = 1e-10) -> None:
    """Value, and gradients of three times the value."""
    copies = [tensor.detach().clone().requires_grad_() for tensor in given]
    found, expected = ours(*given), plain(*copies)
    (3 * found).backward()
    (3 * expected).backward()
    torch.testing.assert_close(found, expected, rtol=rtol, atol=atol)
    for one, other in zip(given, copies, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=rtol, atol=atol)


@pytest.fixture(autouse=True, params=[1, 10_000], ids=["many_chunks", "one_chunk"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(losses.NUMBERS_AT_ONCE, "cpu", request.param)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_full_softmax_is_cross_entropy_over_all_items_but_padding(smoothing: float) -> None:
    targets = torch.randint(1, V, (P,))

    def plain(states: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        return functional.cross_entropy((states @ table.T + bias)[:, 1:], targets - 1, label_smoothing=smoothing)

    assert_same(partial(losses.full_softmax, targets=targets, smoothing=smoothing), plain, leaves(V))


def test_padding_gets_no_gradient() -> None:
    states, table, bias = leaves(V)
    losses.full_softmax(states, table, bias, torch.randint(1, V, (P,)), 0.3).backward()
    assert table.grad[0].abs().sum() == 0
    assert bias.grad[0] == 0


def test_a_sure_and_wrong_model_has_a_finite_loss() -> None:
    states, table, bias = torch.tensor([[1.0]]), torch.tensor([[0.0], [1000.0], [0.0]]), torch.zeros(3)
    assert losses.full_softmax(states, table, bias, torch.tensor([2])).item() == 1000
    rows = torch.tensor([[0.0], [1000.0]]), torch.zeros(2), torch.tensor([2, 1]), torch.zeros(2)
    assert losses.sampled_softmax(states, *rows).item() == 1000


def test_a_sure_and_wrong_model_has_the_gradients_of_cross_entropy() -> None:
    given = [500 * tensor.detach() for tensor in leaves(V)]
    targets = torch.randint(1, V, (P,))

    def plain(states: Tensor, table: Tensor, bias: Tensor) -> Tensor:
        return functional.cross_entropy((states @ table.T + bias)[:, 1:], targets - 1)

    assert_same(partial(losses.full_softmax, targets=targets), plain, [tensor.requires_grad_() for tensor in given])


def test_a_loss_that_is_no_number_stays_none() -> None:
    states, table, bias = leaves(V)
    with torch.no_grad():
        table[5, 1] = float("nan")
    assert torch.isnan(losses.full_softmax(states, table, bias, torch.randint(1, V, (P,))))


def test_no_state_no_loss() -> None:
    _, table, bias = leaves(V)
    states, none = torch.zeros(0, D, dtype=torch.float64, requires_grad=True), torch.zeros(0, dtype=torch.int64)
    loss = losses.full_softmax(states, table, bias, none, 0.3)
    loss.backward()
    assert loss == 0
    assert states.grad.shape == (0, D)
    assert table.grad.abs().sum() == 0
    assert bias.grad.abs().sum() == 0


def test_gradients_are_given_once() -> None:
    states, table, bias = leaves(V)
    loss = losses.full_softmax(states, table, bias, torch.ones(P, dtype=torch.int64))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="taken already"):
        loss.backward()


def sample(dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor, Tensor]:
    """P targets, then N drawn items; rows of the same item differ, so that each row's gradient is seen for itself."""
    given, items = leaves(P + N), torch.randint(1, 12, (P + N,))
    return given, items, torch.randn(P + N, dtype=dtype)


def own_and_negatives(
    states: Tensor, vectors: Tensor, bias: Tensor, items: Tensor, first: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """State by state: the score of its item, the scores of the rows from `first` on that hold another, and their places."""
    scores, places = states @ vectors.T + bias, torch.arange(len(items))
    others = [places[(items != items[row]) & (places >= first)] for row in range(P)]
    return [(scores[row, row], scores[row, other], other) for row, other in enumerate(others)]


@pytest.mark.parametrize("first", [0, P])
def test_sampled_softmax_is_cross_entropy_over_the_sample_without_accidental_hits(first: int) -> None:
    given, items, less = sample()

    def plain(*rows: Tensor) -> Tensor:
        of_each = own_and_negatives(*rows, items, first)
        sums = [torch.cat([own[None], others - less[places]]).logsumexp(0) - own for own, others, places in of_each]
        return torch.stack(sums).mean()

    assert_same(partial(losses.sampled_softmax, items=items, log_expected=less, first=first), plain, given)


@pytest.mark.parametrize("first", [0, P])
@pytest.mark.parametrize("elu", [0.0, 0.5])
@pytest.mark.parametrize("penalty", [0.0, 1.3])
def test_bpr_max_is_its_papers_formula(first: int, elu: float, penalty: float) -> None:
    given, items, _ = sample()

    def plain(*rows: Tensor) -> Tensor:
        found = []
        for own, others, _ in own_and_negatives(*rows, items, first):
            if elu:
                own, others = (torch.where(score > 0, score, elu * (score.exp() - 1)) for score in (own, others))
            weights = others.exp() / others.exp().sum()
            found.append(-(weights * torch.sigmoid(own - others)).sum().log() + penalty * (weights * others**2).sum())
        return torch.stack(found).mean()

    assert_same(partial(losses.bpr_max, items=items, first=first, penalty=penalty, elu=elu), plain, given)


def test_bpr_max_of_a_sure_and_right_or_wrong_model_is_finite() -> None:
    """One negative: -log sigmoid(own - score)."""
    for own, other, expected in ((300.0, 0.0, 0.0), (0.0, 300.0, 300.0)):
        states, vectors = torch.ones(1, 1, requires_grad=True), torch.tensor([[own], [other]], requires_grad=True)
        loss = losses.bpr_max(states, vectors, torch.zeros(2), torch.tensor([1, 2]), 0, 0.0, 0.0)
        loss.backward()
        assert loss == expected
        assert vectors.grad.tolist() == ([[-1.0], [1.0]] if expected else [[0.0], [0.0]])


@pytest.mark.parametrize("first", [0, P])
@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_is_its_papers_formula(first: int, calibration: float) -> None:
    given, items, _ = sample()
    num_items, negatives = 400, P + N - first
    rate = negatives / (num_items - 1)
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)

    def plain(*rows: Tensor) -> Tensor:
        found = []
        for own, others, _ in own_and_negatives(*rows, items, first):
            found.append(-(torch.sigmoid(own) ** power).log() - (1 - torch.sigmoid(others)).log().sum())
        return torch.stack(found).mean() / (1 + negatives)

    ours = partial(losses.gbce, items=items, first=first, calibration=calibration, num_items=num_items)
    assert_same(ours, plain, given)


def test_a_sample_of_nothing_but_the_targets_item_teaches_nothing() -> None:
    states, vectors, bias = leaves(P + N)
    items = torch.full((P + N,), 3)
    for loss in (
        losses.sampled_softmax(states, vectors, bias, items, torch.zeros(P + N, dtype=torch.float64)),
        losses.bpr_max(states, vectors, bias, items, 0, 1.0, 0.5),
    ):
        loss.backward()
        assert loss == 0
        assert states.grad.abs().max() < 1e-12
        assert vectors.grad.abs().max() < 1e-12


@pytest.mark.parametrize("name", ["full_softmax", "sampled_softmax", "bpr_max", "gbce"])
@pytest.mark.parametrize("size", [32, 20])
def test_bfloat16_errs_by_its_rounding_only(name: str, size: int) -> None:
    """Against float64 on the same vectors, rounded: gradients differ by less than four of bfloat16's roundings (2^-9)."""
    torch.manual_seed(2)
    targets, items = torch.randint(1, V, (P,)), torch.randint(1, 400, (P + N,))
    call: dict[str, tuple[int, Loss]] = {
        "full_softmax": (V, partial(losses.full_softmax, targets=targets, smoothing=0.1)),
        "sampled_softmax": (P + N, partial(losses.sampled_softmax, items=items, log_expected=torch.zeros(P + N))),
        "bpr_max": (P + N, partial(losses.bpr_max, items=items, first=0, penalty=1.0, elu=0.5)),
        "gbce": (P + N, partial(losses.gbce, items=items, first=0, calibration=0.75, num_items=400)),
    }
    count, loss = call[name]
    rounded = [(0.4 * torch.randn(*shape)).bfloat16().float() for shape in ((P, size), (count, size), (count,))]
    low = [tensor.clone().requires_grad_() for tensor in rounded]
    exact = [tensor.double().requires_grad_() for tensor in rounded]
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(*low)
    expected = loss(*exact)
    found.backward()
    expected.backward()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=5e-4, atol=0)
    for one, other in zip(low, exact, strict=True):
        assert one.grad.dtype == torch.float32
        assert (one.grad - other.grad).norm() < 2**-7 * other.grad.norm()
