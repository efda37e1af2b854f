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


TRAINING = [[1, 2, 3, 4], [5, 3, 6, 1], [2, 3], [4, 5, 3, 6], [1, 2, 3]] * 8
VALID = [[1, 2, 3], [5, 3, 6]]
TEST = [[2, 3, 4]]


@pytest.fixture
def run_folder(workspace: Callable[..., Path], write_etl: Callable[..., None], mlflow_store: str) -> Callable[..., Path]:
    """A small data set, few epochs; settings by name (`train__seed=1`)."""

    def make(parts: Any = (TRAINING, VALID, TEST), num_items: int = 8, **changes: Any) -> Path:
        small = {"train__batch_events": 32, "train__max_epochs": 3, "train__device": "cpu", "zoo__gru4rec__hidden_size": 8}
        folder = workspace(**{**small, **changes})
        write_etl(parts, num_items)
        return folder

    return make
