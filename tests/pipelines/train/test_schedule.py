from __future__ import annotations

from collections.abc import Callable

import pytest

from pipelines.train.params import TrainParams
from pipelines.train.schedule import momentum, rate

Settings = Callable[..., TrainParams]


def rates(settings: TrainParams, steps: int) -> list[float]:
    return [rate(settings, (step + 0.5) / steps) for step in range(steps)]


def test_constant_after_a_linear_warm_up(settings: Settings) -> None:
    assert rates(settings(schedule="constant", warmup_share=0.5), 4) == [0.25, 0.75, 1, 1]


def test_cosine_falls_from_the_top_towards_zero(settings: Settings) -> None:
    # 0.2 warm: then shares 1/8, 3/8, 5/8, 7/8 of half a cosine
    found = rates(settings(schedule="cosine", warmup_share=0.2), 5)
    assert found == pytest.approx([0.5, 0.961940, 0.691342, 0.308658, 0.038060], abs=1e-6)


def test_one_cycle_is_torchs(settings: Settings) -> None:
    import torch

    steps, warm = 1000, 0.3
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=steps, pct_start=warm)
    chosen = settings(schedule="one_cycle", warmup_share=warm)
    for step in range(steps):
        done, group = (step + 0.5) / steps, optimizer.param_groups[0]
        assert rate(chosen, done) == pytest.approx(group["lr"], abs=0.005)
        assert momentum(chosen, done) == pytest.approx(group["betas"][0], abs=0.005)
        optimizer.step()
        if step < steps - 1:
            reference.step()


def test_the_other_schedules_leave_momentum_alone(settings: Settings) -> None:
    assert momentum(settings(schedule="cosine"), 0.5) is None


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("warm", [0.0, 0.3, 0.99])
def test_no_step_is_nothing_and_none_is_too_large(settings: Settings, schedule: str, warm: float) -> None:
    for steps in (1, 2, 10):
        found = rates(settings(schedule=schedule, warmup_share=warm), steps)
        assert all(0 < one <= 1 for one in found)
