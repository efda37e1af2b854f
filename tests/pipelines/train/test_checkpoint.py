"""A training that was killed goes on from its last epoch and ends the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from pipelines import stage
from pipelines.stores import tracking
from pipelines.train.checkpoint import Checkpoint, State, code, settings, under
from pipelines.train.steps import Stepper

FOLDER = Path("data/train/gru4rec")
HELD = FOLDER / "checkpoint/checkpoint.safetensors"
RESULTS = ("weights.safetensors", "metrics.json")


class Killed(BaseException):
    """What no handler of the trainer catches."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Train until that many epochs are begun, then stop in the middle of it."""

    def train(epochs: int) -> None:
        begun, whole = iter(range(1, 1000)), Stepper.epoch

        def epoch(self: Stepper, *words: Any) -> float:
            if next(begun) == epochs:
                for _ in zip(range(2), self.batches(), strict=False):  # the generators have moved on
                    torch.rand(3)
                raise Killed
            return whole(self, *words)

        with monkeypatch.context() as patch:
            patch.setattr(Stepper, "epoch", epoch)
            with pytest.raises(Killed):
                stage.main(["train", "gru4rec"])

    return train


def trained() -> list[bytes]:
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    return [(FOLDER / name).read_bytes() for name in RESULTS]


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad", "muon"])
def test_a_killed_run_ends_as_if_it_had_not_been(
    run_folder: Callable[..., Path], killed: Callable[[int], None], optimizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(train__optimizer=optimizer, train__average_decay=0.9, train__patience=4, train__max_epochs=4)
    whole = trained()
    assert not HELD.exists()
    killed(4)
    assert HELD.exists()
    capsys.readouterr()
    assert trained() == whole
    said = capsys.readouterr().err
    assert "epoch 4/4" in said
    assert "epoch 3/4" not in said
    assert "went on from the checkpoint" in said
    assert not HELD.parent.exists()


@pytest.mark.parametrize("epoch", [3, 4, 5])  # three of the fit, then two or more of the refit
def test_a_refit_goes_on_too(run_folder: Callable[..., Path], killed: Callable[[int], None], epoch: int) -> None:
    run_folder(train__refit=True, train__average_decay=0.5, train__patience=3)
    whole = trained()
    assert json.loads(whole[1])["best_epoch"] >= 2
    killed(epoch)
    assert trained() == whole


def test_the_mlflow_run_goes_on(run_folder: Callable[..., Path], killed: Callable[[int], None], mlflow_store: str) -> None:
    run_folder()
    killed(3)
    trained()
    client = MlflowClient(tracking_uri=mlflow_store)
    (run,) = client.search_runs([tracking.experiment_id()])
    assert run.info.status == "FINISHED"
    assert json.loads((FOLDER / "run.json").read_text())["mlflow_run_id"] == run.info.run_id
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")] == [1, 2, 3]


def test_a_new_mlflow_run_is_told_all_epochs_if_the_old_one_is_gone(
    run_folder: Callable[..., Path], killed: Callable[[int], None], mlflow_store: str
) -> None:
    run_folder()
    killed(3)
    client = MlflowClient(tracking_uri=mlflow_store)
    (old,) = client.search_runs([tracking.experiment_id()])
    client.delete_run(old.info.run_id)
    trained()
    (run,) = client.search_runs([tracking.experiment_id()])
    assert run.info.run_id != old.info.run_id
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")] == [1, 2, 3]


def test_other_settings_begin_anew(
    run_folder: Callable[..., Path], killed: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder(train__seed=1)
    whole = trained()
    run_folder(train__seed=2)
    killed(3)
    run_folder(train__seed=1)
    capsys.readouterr()
    assert trained() == whole
    said = capsys.readouterr().err
    assert "is of another training (settings): it begins anew" in said
    assert "epoch 1/3" in said


def test_other_data_begin_anew(
    run_folder: Callable[..., Path], killed: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder()
    killed(3)
    run_folder(([[1, 2, 3]] * 20, [[1, 2]], [[1, 2]]))
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    assert "is of another training (data): it begins anew" in capsys.readouterr().err


def test_a_broken_checkpoint_begins_anew(
    run_folder: Callable[..., Path], killed: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder()
    killed(3)
    HELD.write_bytes(HELD.read_bytes()[:1000])
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    assert "cannot be read" in capsys.readouterr().err


def test_what_is_kept_is_what_is_found(tmp_path: Path) -> None:
    identity = {"settings": settings({"a": 1}), "code": code([Path(__file__)])}
    kept = Checkpoint(tmp_path / "checkpoint", identity)
    assert kept.found is None
    kept.mlflow_run_id = "r1"
    kept.save(State({**under("model", {"weight": torch.ones(2)}), "x": torch.zeros(0)}, {"epoch": 3, "metrics": {"a": 0.1}}))
    again = Checkpoint(tmp_path / "checkpoint", identity)
    assert again.found is not None
    assert again.found.part("model")["weight"].tolist() == [1, 1]
    assert again.found.values == {"epoch": 3, "metrics": {"a": 0.1}}
    assert again.mlflow_run_id == "r1"
    assert Checkpoint(tmp_path / "checkpoint", {**identity, "code": "other"}).found is None
    again.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_process_that_gets_kill_9_leaves_a_checkpoint_that_ends_the_same(
    run_folder: Callable[..., Path], mlflow_store: str
) -> None:
    run_folder(train__max_epochs=3, train__patience=3)
    whole = trained()
    program = f"""
import os, signal, sys
from pipelines import stage
from pipelines.train.checkpoint import Checkpoint
save = Checkpoint.save
def once(self, state):
    save(self, state)
    os.kill(os.getpid(), {int(signal.SIGKILL)})
Checkpoint.save = once
stage.main(["train", "gru4rec"])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert HELD.exists()
    assert not (FOLDER / "weights.safetensors").exists()
    assert trained() == whole
