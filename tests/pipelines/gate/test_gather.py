"""What is on disk becomes evidence; what is not, or belongs to another champion, is missing, with the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines import params
from pipelines.errors import DataError
from pipelines.gate.evidence import Comparison, Drifts, Evidence, Health, Missing, Parity, Service
from pipelines.gate.gather import gather
from pipelines.gate.params import GateParams
from pipelines.gate.rules import RULES
from pipelines.stores.registry import Version
from tests.pipelines.gate.conftest import MADE, REHEARSAL
from tests.pipelines.run_folder import MODELS

CHAMPION = Version("m", 3, "r", "models:/x", "", {})
SCORED = Path("data/evaluate/champion")
PULLED = Path("data/train/champion")


def found(version: Version | None = CHAMPION, **rehearsal: Any) -> Evidence:
    beside = {"version": 3, "p50_ms": 2.0, "p95_ms": 4.0, "memory_mb": 90.0, "why_no_memory": None, "why": None}
    measured = {**REHEARSAL, "champion": beside if version else None, **rehearsal}
    return gather(params.section("gate", GateParams), {**MADE, "rehearsal": measured}, version, list(MODELS))


def refused(evidence: Evidence) -> set[str]:
    gate = params.section("gate", GateParams)
    return {rule.__name__ for rule in RULES if not rule(evidence, gate).passed}


@pytest.fixture
def scored(run: Path) -> Path:
    """Champion 3 was pulled, and answered as gru4rec did."""
    shutil.copytree("data/train/gru4rec", PULLED)
    (PULLED / "version.json").write_text('{"model": "m", "version": 3}')
    shutil.rmtree(SCORED)
    shutil.copytree("data/evaluate/gru4rec", SCORED)
    return run


def test_without_a_champion_everything_else_is_there(run: Path) -> None:
    evidence = found(version=None)
    assert evidence.comparison == Missing("no champion yet")
    assert evidence.service == Service(2.0, 5.0, 100.0)
    assert evidence.parity == Parity(30, 0)
    assert isinstance(evidence.drifts, Drifts)
    assert {one.column for one in evidence.drifts.columns} == {"category", "event_type", "session_length"}
    assert isinstance(evidence.health, Health)
    assert evidence.health.losses == (2.9, 2.8, 2.7)
    assert set(evidence.metrics) == set(MODELS)
    assert refused(evidence) == set()


def test_with_a_champion_it_is_compared_and_everything_passes(scored: Path) -> None:
    evidence = found()
    assert isinstance(evidence.comparison, Comparison)
    assert (evidence.comparison.whole.share, evidence.comparison.whole.sessions) == (0, 60)
    assert [(one.kind, one.name, one.sessions) for one in evidence.comparison.slices] == [
        ("day", "2026-11-08", 30),
        ("day", "2026-11-09", 30),
    ]
    assert evidence.champion_service == Service(2.0, 4.0, 90.0)
    assert refused(evidence) == set()


def test_a_worse_day_is_seen_though_the_mean_may_lose(scored: Path) -> None:
    """All ranks of the second day are lost: the mean loses half, so the whole may lose 90 % here."""
    values = params.read()
    values["gate"]["max_loss_share"] = 0.9
    Path("params.yaml").write_text(json.dumps(values))
    path = Path("data/evaluate/gru4rec/ranks.parquet")
    worse = pl.when(pl.col("day") == "2026-11-09").then(pl.lit(30, pl.Int32)).otherwise("rank")
    pl.read_parquet(path).with_columns(worse.alias("rank")).write_parquet(path)
    evidence = found()
    assert refused(evidence) == {"no_slice_worse"}
    (verdict,) = [rule(evidence, params.section("gate", GateParams)) for rule in RULES if rule.__name__ == "no_slice_worse"]
    assert verdict.reason.startswith("more than 10% lost in day 2026-11-09 -100.0%")


CHAMPION_RULES = {"holds_against_champion", "no_slice_worse", "shows_many_items", "shows_rare_items", "shows_items_evenly"}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda: (SCORED / "metrics.json").write_text('{"unmeasured": "the weights do not fit"}'), "the weights do not fit"),
        (lambda: (SCORED / "ranks.parquet").unlink(), "data/evaluate/champion has no ranks"),
        (lambda: (PULLED / "version.json").write_text('{"version": 2}'), "those of version 2: the champion changed"),
        (lambda: (PULLED / "version.json").unlink(), "those of version None: the champion changed"),
    ],
)
def test_a_champion_that_was_not_measured_is_not_beaten(scored: Path, spoil: Callable[[], None], why: str) -> None:
    spoil()
    evidence = found()
    assert isinstance(evidence.comparison, Missing)
    assert why in evidence.comparison.why
    assert "champion" not in evidence.metrics
    assert refused(evidence) == CHAMPION_RULES


@pytest.mark.parametrize(
    ("rehearsal", "rules"),
    [
        ({"champion": None}, {"as_quick_as_champion", "fits_in_memory"}),
        ({"champion": {"version": 3, "why": "it cannot be pulled"}}, {"as_quick_as_champion", "fits_in_memory"}),
        ({"champion": {"version": 2, "p50_ms": 1.0, "p95_ms": 1.0}}, {"as_quick_as_champion", "fits_in_memory"}),
        ({"memory_mb": None, "why_no_memory": "elsewhere"}, {"fits_in_memory"}),
        ({"parity_wrong": None}, {"server_and_file_agree"}),
        (
            {"p50_ms": None, "p95_ms": None, "memory_mb": None, "parity_wrong": None, "why": "Triton is down"},
            {"answers_in_time", "as_quick_as_champion", "fits_in_memory", "server_and_file_agree"},
        ),
    ],
)
def test_what_was_not_rehearsed_does_not_pass(scored: Path, rehearsal: dict[str, Any], rules: set[str]) -> None:
    assert refused(found(**rehearsal)) == rules


@pytest.mark.parametrize(
    ("file", "rules"),
    [
        ("data/train/gru4rec/history.csv", {"loss_is_finite", "items_differ"}),
        ("data/train/gru4rec/weights.safetensors", {"loss_is_finite", "items_differ"}),
        ("data/etl/offsets.npy", {"test_days_are_like_training_days"}),
        ("data/etl/columns/category.npy", {"test_days_are_like_training_days"}),
    ],
)
@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:5])])
def test_a_file_that_cannot_be_read_is_not_measured(run: Path, file: str, rules: set[str], spoil: Callable[[Path], None]) -> None:
    spoil(Path(file))
    assert refused(found(version=None)) == rules


def test_models_that_were_not_evaluated_are_no_floors(run: Path) -> None:
    shutil.rmtree("data/evaluate/session_knn")
    assert refused(found(version=None)) == {"stands_against_session_knn"}


def test_other_predictions_are_an_error(scored: Path) -> None:
    path = SCORED / "ranks.parquet"
    pl.read_parquet(path).head(299).write_parquet(path)
    with pytest.raises(DataError, match="not asked the same predictions"):
        found()
