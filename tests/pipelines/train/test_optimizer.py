from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pipelines.train.optimizer import adamw, schedule
from pipelines.train.params import TrainParams


def rates(settings: TrainParams, steps: int) -> list[float]:
    optimizer = adamw(nn.Linear(2, 2), settings)
    planned, found = schedule(optimizer, settings, steps), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        planned.step()
    return found


@pytest.fixture
def settings(train_params: TrainParams) -> Any:
    return lambda **changes: TrainParams.model_validate({**train_params.model_dump(), **changes})


def test_constant_after_a_linear_warm_up(settings: Any) -> None:
    chosen = settings(schedule="constant", warmup_share=0.5, learning_rate=0.5)
    assert rates(chosen, 4) == [0.25, 0.5, 0.5, 0.5]


def test_cosine_falls_from_the_top_towards_zero(settings: Any) -> None:
    found = rates(settings(schedule="cosine", warmup_share=0.2, learning_rate=1.0), 5)
    assert found == pytest.approx([1, 1, 0.853553, 0.5, 0.146447], abs=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_one_cycle_reaches_its_top_and_never_runs_out_of_steps(settings: Any, steps: int) -> None:
    found = rates(settings(schedule="one_cycle", warmup_share=0.3, learning_rate=0.1), steps)
    assert 0.07 < max(found) <= 0.1


def test_item_tables_and_biases_do_not_decay(settings: Any) -> None:
    model = nn.ModuleDict({"table": nn.Embedding(5, 2), "matrix": nn.Linear(2, 2)})
    decaying, others = adamw(model, settings(weight_decay=0.5)).param_groups
    assert decaying["weight_decay"] == 0.5
    assert others["weight_decay"] == 0
    assert [id(parameter) for parameter in decaying["params"]] == [id(model["matrix"].weight)]
    assert len(others["params"]) == 2
    assert isinstance(model["table"].weight, torch.Tensor)
