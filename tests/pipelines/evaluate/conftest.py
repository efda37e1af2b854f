from __future__ import annotations

from pathlib import Path

import pytest

from pipelines import params
from pipelines.evaluate.params import EvaluateParams


@pytest.fixture
def evaluate_params() -> EvaluateParams:
    return params.section("evaluate", EvaluateParams, Path(__file__).parents[3] / "params.yaml")
