"""Drift, item vectors, what changed: measured on made-up data whose truth is known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines.gate import changes, drift, health
from pipelines.gate.evidence import Drift, Missing

CHANCE = np.random.default_rng(1)


def one(training: np.ndarray, test: np.ndarray, is_category: bool = False) -> Drift:  # type: ignore[type-arg]
    (found,) = drift.compared({"column": (training, test)}, {"column"} if is_category else set())
    return found


def test_the_index_of_two_categories_by_hand() -> None:
    """80/20 becomes 50/50: (0.5 - 0.8) ln(0.5 / 0.8) + (0.5 - 0.2) ln(0.5 / 0.2) = 0.141 + 0.275."""
    found = one(np.repeat([4, 5], [800, 200]), np.repeat([4, 5], [500, 500]), is_category=True)
    assert found.psi == pytest.approx(0.4159, abs=1e-3)
    assert found.ks_p is None


def test_the_same_distribution_has_not_drifted_and_a_moved_one_has() -> None:
    same = one(CHANCE.normal(size=5000), CHANCE.normal(size=5000))
    moved = one(CHANCE.normal(size=5000), CHANCE.normal(1.0, size=5000))
    assert same.psi < 0.05
    assert same.ks_p is not None
    assert same.ks_p > 0.001
    assert moved.psi > 0.5
    assert moved.ks_p == pytest.approx(0, abs=1e-6)


def test_columns_that_the_data_lack_are_named(run: Path) -> None:
    found = drift.measure(["category", "brand", "session_length"])
    assert [one.column for one in found.columns] == ["category", "session_length"]
    assert found.absent == ("brand",)
    assert drift.measure(["brand"]).columns == ()


def test_training_and_test_sessions_are_taken_apart(run: Path) -> None:
    lengths = np.diff(np.load("data/etl/offsets.npy"))
    training, test = drift.read(["session_length"])["session_length"]
    assert (training.tolist(), test.tolist()) == (lengths[:140].tolist(), lengths[160:].tolist())
    training, test = drift.read(["category"])["category"]
    assert (len(training), len(test)) == (lengths[:140].sum(), lengths[160:].sum())


def test_vectors_that_point_everywhere_and_vectors_that_point_one_way() -> None:
    spread = health.spread(CHANCE.normal(size=(500, 16)).astype(np.float32))
    assert spread.mean_cosine == pytest.approx(0, abs=0.02)
    assert spread.effective_rank == pytest.approx(16, abs=0.2)
    cone = health.spread((CHANCE.normal(size=(500, 16)) * 0.01 + 1).astype(np.float32))
    assert cone.mean_cosine > 0.99
    line = health.spread(np.outer(CHANCE.normal(size=500), np.ones(16)).astype(np.float32))
    assert line.effective_rank == pytest.approx(1, abs=1e-3)
    assert line.mean_cosine < 0.1  # half of them point the other way: only the rank shows it


def test_vectors_by_hand() -> None:
    """Two right angles and one pair alike: cosines 1, 0, 0. Singular values sqrt 2 and 1."""
    found = health.spread(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    assert found.mean_cosine == pytest.approx(1 / 3)
    shares = np.array([math.sqrt(2), 1]) / (math.sqrt(2) + 1)
    assert found.effective_rank == pytest.approx(math.exp(-(shares * np.log(shares)).sum()))


def test_broken_vectors_are_no_numbers_and_dead_ones_have_no_rank() -> None:
    assert math.isnan(health.spread(np.array([[1, np.nan], [1, 0]], np.float32)).mean_cosine)
    assert health.spread(np.zeros((5, 4), np.float32)).effective_rank == 0


def test_items_without_a_training_event_are_not_looked_at(run: Path) -> None:
    found = health.measure(Path("data/train/gru4rec")).table
    assert found is not None
    assert not isinstance(found, Missing)
    assert (found.items, found.size) == (40, 16)
    import polars as pl

    path = Path("data/etl/vocabulary.parquet")
    pl.read_parquet(path).with_columns(count=pl.when(pl.col("index") > 30).then(0).otherwise("count")).write_parquet(path)
    fewer = health.measure(Path("data/train/gru4rec")).table
    assert fewer is not None
    assert not isinstance(fewer, Missing)
    assert fewer.items == 30


def test_a_model_that_counts_has_neither_loss_nor_vectors(run: Path) -> None:
    Path("data/train/session_knn/history.csv").write_text("epoch,train_loss,valid_mrr_at_20\n1,,0.2\n")
    assert health.measure(Path("data/train/session_knn")) == health.Health((), None)


def package(folder: Path, params: dict[str, object], data: dict[str, object]) -> Path:
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "data.json").write_text(json.dumps(data))
    return folder


def test_what_changed_is_named_with_both_values(tmp_path: Path) -> None:
    before = package(tmp_path / "a", {"train": {"seed": 1, "clip": 2}, "models": ["x"]}, {"last_day": "2026-11-13"})
    now = package(tmp_path / "b", {"train": {"seed": 2, "clip": 2, "new": 3}, "models": ["x", "y"]}, {"last_day": "2026-11-14"})
    found = changes.since(before, now)
    assert found.params == {"train.seed": (1, 2), "train.new": (None, 3), "models": (["x"], ["x", "y"])}
    assert found.data == {"last_day": ("2026-11-13", "2026-11-14")}
    assert changes.since(now, now) == changes.Changes({}, {})


def test_a_section_that_came_or_went_is_named_whole() -> None:
    assert changes.differences({"a": 1}, {"a": {"b": 2}}) == {"a": (1, None), "a.b": (None, 2)}
    assert changes.differences({"a": {"b": 2}}, {}) == {"a.b": (2, None)}


def test_an_older_champion_without_them_says_so(tmp_path: Path) -> None:
    found = changes.since(tmp_path, tmp_path)
    assert found.why == "the champion's package has no params.yaml and no data.json"
