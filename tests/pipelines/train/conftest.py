from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import params
from pipelines.train.params import TrainParams


@pytest.fixture
def train_params() -> TrainParams:
    return params.section("train", TrainParams, Path(__file__).parents[3] / "params.yaml")


@pytest.fixture
def settings(train_params: TrainParams) -> Callable[..., TrainParams]:
    """The project's settings of training, with changes."""

    def change(**changes: Any) -> TrainParams:
        return TrainParams.model_validate({**train_params.model_dump(), **changes})

    return change
