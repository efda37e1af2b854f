"""How the tests make sessions and models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from models.core import registry
from models.core.base import CountingModel, Features, SessionModel
from models.core.batch import SessionBatch

NUM_ITEMS = 9
LONGEST = 6
ZOO: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())["zoo"]

TRAINING = [[1, 2, 3], [2, 3, 4, 5], [1, 2, 9, 9, 9, 1], [7, 8], [1, 2, 3, 4]]


def sessions(*rows: Sequence[int], pad_to: int = 0) -> SessionBatch:
    width = max(pad_to, *(len(row) for row in rows), 1)
    items = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    return SessionBatch(items, torch.tensor([len(row) for row in rows]))


def untrained(name: str, **changes: Any) -> SessionModel:
    kind = registry.find(name)
    return kind(kind.Config.model_validate({**ZOO[name], **changes}), Features(num_items=NUM_ITEMS, max_session_length=LONGEST))


def trained(name: str, rows: Sequence[Sequence[int]] = TRAINING, steps: int = 5, seed: int = 1) -> SessionModel:
    torch.manual_seed(seed)
    model = untrained(name)
    model.know(torch.bincount(sessions(*rows).items.flatten(), minlength=NUM_ITEMS + 1))
    if isinstance(model, CountingModel):
        model.fit(sessions(*rows))
        return model.eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.004)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.004, total_steps=steps + 1, pct_start=0.2)  # the trainer's
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(sessions(*rows)).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@pytest.fixture(params=registry.names())
def name(request: pytest.FixtureRequest) -> str:
    """Every model there is: a new file in models/ is tested unasked, with its settings of params.yaml."""
    return str(request.param)


@pytest.fixture
def batch() -> Callable[..., SessionBatch]:
    return sessions


@pytest.fixture
def build() -> Callable[..., SessionModel]:
    return untrained


@pytest.fixture
def train() -> Callable[..., SessionModel]:
    return trained
