from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim import Adagrad, AdamW, Muon

from pipelines.train.optimizer import Steps, clip, optimizers
from pipelines.train.params import TrainParams

Settings = Callable[..., TrainParams]


@pytest.fixture
def model() -> nn.ModuleDict:
    return nn.ModuleDict({"table": nn.Embedding(5, 2), "matrix": nn.Linear(2, 2)})


@pytest.mark.parametrize(("name", "kind"), [("adamw", AdamW), ("adagrad", Adagrad)])
def test_item_tables_and_biases_do_not_decay(settings: Settings, model: nn.ModuleDict, name: str, kind: type) -> None:
    (found,) = optimizers(model, settings(weight_decay=0.5, optimizer=name), 0.01)
    assert type(found) is kind
    decaying, others = found.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.5, 0)
    assert [id(parameter) for parameter in decaying["params"]] == [id(model["matrix"].weight)]
    assert {id(one) for one in others["params"]} == {id(model["matrix"].bias), id(model["table"].weight)}


def test_muon_has_the_matrices_and_adamw_the_rest(settings: Settings, model: nn.ModuleDict) -> None:
    first, second = optimizers(model, settings(optimizer="muon", weight_decay=0.5), 0.01)
    assert type(first) is Muon
    assert type(second) is AdamW
    assert [id(one) for group in first.param_groups for one in group["params"]] == [id(model["matrix"].weight)]
    (rest,) = second.param_groups
    assert rest["weight_decay"] == 0
    assert {id(one) for one in rest["params"]} == {id(model["matrix"].bias), id(model["table"].weight)}


def one_step(settings: TrainParams, gradient: float, done: float = 0.5) -> float:
    """How far a number moves."""
    model = nn.Linear(1, 1, bias=False)
    before = model.weight.item()
    model.weight.grad = torch.full((1, 1), gradient)
    Steps(model, settings, 0.25).step(done)
    return before - model.weight.item()


def test_the_first_step_of_adagrad_and_adamw_is_the_learning_rate(settings: Settings) -> None:
    for name in ("adamw", "adagrad"):
        plain = settings(optimizer=name, schedule="constant", weight_decay=0.0)
        assert one_step(plain, 0.01) == pytest.approx(0.25, rel=1e-4)  # sign of the gradient
        assert one_step(plain, -3.0) == pytest.approx(-0.25, rel=1e-4)


def test_the_schedule_moves_the_step_size(settings: Settings) -> None:
    cosine = settings(optimizer="adagrad", schedule="cosine", warmup_share=0.0, weight_decay=0.0)
    assert one_step(cosine, 1.0, done=0.5) == pytest.approx(0.125, rel=1e-4)


def gradients(*values: list[float]) -> list[nn.Parameter]:
    found = [nn.Parameter(torch.zeros(len(one))) for one in values]
    for parameter, one in zip(found, values, strict=True):
        parameter.grad = torch.tensor(one)
    return found


def test_long_gradients_are_shortened_together_and_short_ones_left_alone() -> None:
    long = gradients([3.0, 0.0], [4.0])  # of length 5
    clip(long, 0.5)
    torch.testing.assert_close([one.grad for one in long], [torch.tensor([0.3, 0.0]), torch.tensor([0.4])], rtol=1e-4, atol=0)
    short = gradients([0.3, 0.0], [0.4])
    clip(short, 0.51)
    assert [one.grad.tolist() for one in short if one.grad is not None] == [
        torch.tensor([0.3, 0.0]).tolist(),
        [torch.tensor(0.4)],
    ]


def test_without_a_limit_gradients_are_not_clipped(settings: Settings) -> None:
    for limit, kept in ((0.0, 8.0), (0.5, 0.5)):
        model = nn.Linear(1, 1, bias=False)
        model.weight.grad = torch.full((1, 1), 8.0)
        Steps(model, settings(clip_norm=limit), 0.004).step(0.5)
        assert model.weight.grad.item() == pytest.approx(kept, rel=1e-4)
