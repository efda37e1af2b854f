"""The best on the validation sessions is chosen; a name that is not there is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.errors import DataError, ParamsError
from pipelines.register import choose


@pytest.fixture(autouse=True)
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"a": 0.1, "b": 0.3, "c": 0.3, "broken": None}.items():
        folder = tmp_path / "data" / "train" / name
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"valid_mrr_at_20": value}))
    monkeypatch.chdir(tmp_path)


def test_the_best_is_chosen_and_equal_ones_in_order() -> None:
    assert choose.best(["a", "c", "b"], None) == ("c", {"a": 0.1, "c": 0.3, "b": 0.3})


def test_only_candidates_are_chosen() -> None:
    assert choose.best(["a", "b"], ["a"])[0] == "a"


def test_a_candidate_that_is_no_model_of_the_run() -> None:
    with pytest.raises(ParamsError, match="the candidate 'gru' is not a model of this run"):
        choose.best(["a", "b"], ["gru"])


def test_a_model_without_a_measurement() -> None:
    with pytest.raises(DataError, match="valid_mrr_at_20 of broken is None"):
        choose.best(["a", "broken"], None)
