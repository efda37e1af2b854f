"""Raw to answer without servers: every stage and action in order, the answer by onnxruntime from the registered package."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from pipelines import paths, stage
from pipelines.stores.answers import INPUT, Graph, pad
from pipelines.stores.settings import ROOT
from tests.river.conftest import run

pytestmark = pytest.mark.slow

MODELS = yaml.safe_load((ROOT / "params.yaml").read_text())["models"]


@pytest.fixture(scope="module")
def river(workspace: Path) -> Path:
    for name in ("events", "validate", "etl"):
        assert run(name) == stage.DONE
    for model in MODELS:
        assert run("train", model) == stage.DONE
        assert run("evaluate", model) == stage.DONE
    assert run("evaluate", "champion") == stage.DONE
    assert run("register") == stage.DONE
    return workspace


def test_no_row_is_lost_between_raw_and_sessions(river: Path) -> None:
    rows = pl.scan_parquet(paths.EVENTS / "**/*.parquet").select(pl.len()).collect().item()
    good = pl.scan_parquet(paths.VALIDATE / "**/*.parquet").select(pl.len()).collect().item()
    bad = pl.scan_parquet(paths.QUARANTINE / "**/*.parquet").select(pl.len()).collect().item()
    assert rows == good + bad == 20_000
    assert bad > 200
    summary = json.loads((paths.ETL / "summary.json").read_text())
    kept = len(np.load(paths.ETL / "columns/item_id.npy"))
    assert good == kept + sum(summary["dropped"].values())


def test_the_sequence_model_learns_what_popularity_cannot(river: Path) -> None:
    mrr = {model: json.loads((paths.EVALUATE / model / "metrics.json").read_text())["mrr_at_20"] for model in MODELS}
    assert mrr["session_knn"] > 2 * mrr["popularity"]


def test_the_registered_file_answers_raw_ids_with_raw_ids(river: Path) -> None:
    graph = Graph(paths.REGISTER / "package/model.onnx")
    vocabulary = pl.read_parquet(paths.ETL / "vocabulary.parquet")
    known = vocabulary["item_id"][:3].to_list()
    answers = graph.ask({INPUT: pad([known, []], graph.length)})
    assert set(answers.ids[0]) <= set(vocabulary["item_id"])
    assert (np.diff(answers.scores[0]) <= 0).all()
    assert list(answers.fallback.ravel()) == [0, 1]


def test_the_gate_stays_shut_where_service_was_not_measured_and_all_else_passes(river: Path) -> None:
    assert run("gate") == stage.REFUSED
    decision = json.loads((paths.GATE / "decision.json").read_text())
    reasons = {rule["rule"]: rule["reason"] for rule in decision["rules"] if not rule["passed"]}
    assert set(reasons) == {"answers_in_time", "fits_in_memory", "server_and_file_agree"}
    assert all("Triton does not answer" in reason for reason in reasons.values())


def test_a_refused_version_cannot_be_promoted(river: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("promote") == stage.FAILED
    assert "next " in capsys.readouterr().err
