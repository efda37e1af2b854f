"""Two processes on gloo train as one does."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import load_file

from pipelines import stage
from pipelines.stores import tracking
from pipelines.train.batches import Part, plan
from pipelines.train.distributed import ALONE

FOLDER = Path("data/train/gru4rec")
ROOT = Path(__file__).parents[3]


def torchrun(program: str = "-m pipelines train gru4rec") -> subprocess.CompletedProcess[str]:
    """Two processes; they read where MLflow is from the environment that the test has set."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = f"-m torch.distributed.run --standalone --nproc-per-node 2 {program}"
    return subprocess.run([sys.executable, *words.split()], env=environment, capture_output=True, text=True, check=False)


def history() -> list[dict[str, float]]:
    with (FOLDER / "history.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_the_shares_of_two_processes_are_the_batch() -> None:
    import numpy as np

    whole = plan(np.arange(50), np.arange(50) % 5 + 2, 40, torch.Generator())
    for part in whole:
        first, second = part.share(0, 2), part.share(1, 2)
        assert sorted([*first.sessions, *second.sessions]) == sorted(part.sessions)
        assert first.targets + second.targets == part.targets
    lonely = Part(np.array([7]), np.array([3])).share(1, 2)
    assert (len(lonely.sessions), lonely.longest, lonely.places) == (0, 0, 0)


def test_alone_nothing_is_asked_of_anybody() -> None:
    values = torch.tensor([1.0, 2.0])
    assert ALONE.gather(values) is values
    assert ALONE.sum(values) is values
    assert ALONE.first


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(run_folder: Callable[..., Path], mlflow_store: str) -> None:
    """Without dropout all that differs is the order in which gradients are added."""
    quiet = {f"zoo__gru4rec__{name}_dropout": 0.0 for name in ("embedding", "hidden", "repeats")}
    run_folder(**quiet, train__precision="float32", train__refit=True, train__average_decay=0.5)
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    alone, weights = history(), load_file(FOLDER / "weights.safetensors")
    ended = torchrun()
    assert ended.returncode == 0, ended.stderr
    for one, two in zip(alone, history(), strict=True):
        for name in ("train_loss", "valid_mrr_at_20", "valid_recall_at_20"):
            assert two[name] == pytest.approx(one[name], rel=1e-3)
    for name, value in load_file(FOLDER / "weights.safetensors").items():
        torch.testing.assert_close(value, weights[name], rtol=1e-2, atol=1e-3)
    assert json.loads((FOLDER / "run.json").read_text())["processes"] == 2
    assert "2 processes" in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if line.startswith("epoch 1/3")]) == 1
    assert len([line for line in ended.stdout.splitlines() if line.startswith("{")]) == 1
    assert len(MlflowClient(tracking_uri=mlflow_store).search_runs([tracking.experiment_id()])) == 2  # one for each training


@pytest.mark.slow
def test_what_goes_wrong_in_one_process_ends_all(run_folder: Callable[..., Path], mlflow_store: str) -> None:
    run_folder(train__learning_rate=1.0, train__clip_norm=0.0, train__max_epochs=1)
    program = """
import os, sys
from models.gru4rec import GRU4Rec
from pipelines import stage
whole = GRU4Rec.loss
GRU4Rec.loss = lambda self, batch: whole(self, batch) * (float("nan") if os.environ["RANK"] == "1" else 1)
sys.exit(stage.main(["train", "gru4rec"]))
"""
    Path("wrong.py").write_text(program)
    ended = torchrun("wrong.py")
    assert ended.returncode != 0
    assert "DataError: the loss is nan at batch 1 of epoch 1" in ended.stderr
    assert not (FOLDER / "weights.safetensors").exists()
    (run,) = MlflowClient(tracking_uri=mlflow_store).search_runs([tracking.experiment_id()])
    assert run.info.status == "FAILED"


@pytest.mark.slow
def test_two_processes_that_are_killed_go_on_and_end_the_same(run_folder: Callable[..., Path], mlflow_store: str) -> None:
    """Each has random numbers of its own for dropout: both are in the checkpoint."""
    run_folder(train__max_epochs=2)
    ended = torchrun()
    assert ended.returncode == 0, ended.stderr
    whole = (FOLDER / "weights.safetensors").read_bytes()
    program = """
import os, signal, sys
from pipelines import stage
from pipelines.train.checkpoint import Checkpoint
save = Checkpoint.save
def once(self, state):
    save(self, state)
    os.kill(os.getpid(), signal.SIGKILL)
Checkpoint.save = once
sys.exit(stage.main(["train", "gru4rec"]))
"""
    Path("killed.py").write_text(program)
    assert torchrun("killed.py").returncode != 0
    assert (FOLDER / "checkpoint/checkpoint.safetensors").exists()
    ended = torchrun()
    assert ended.returncode == 0, ended.stderr
    assert "epoch 2/2" in ended.stderr
    assert "epoch 1/2" not in ended.stderr
    assert (FOLDER / "weights.safetensors").read_bytes() == whole
