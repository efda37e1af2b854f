from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import params
from pipelines.train.params import TrainParams


@pytest.fixture
def train_params() -> TrainParams:
    return params.section("train", TrainParams, Path(__file__).parents[3] / "params.yaml")
