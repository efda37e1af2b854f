"""The stage as it is called: `python -m pipelines train <model>` in a run's folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from models.core import registry
from models.gru4rec import GRU4Rec
from pipelines import params, stage
from pipelines.split import TRAIN
from pipelines.stores import sessions, weights
from pipelines.train import fit
from pipelines.train.fit import Fit
from tests.pipelines.train.conftest import TEST, TRAINING, VALID


def results(name: str) -> dict[str, Any]:
    return dict(json.loads(Path(f"data/train/{name}/metrics.json").read_text()))


@pytest.mark.parametrize("name", registry.names())
def test_every_model_leaves_the_same_files(run_folder: Callable[..., Path], name: str) -> None:
    run_folder()
    assert stage.main(["train", name]) == stage.DONE
    folder = Path("data/train") / name
    assert {path.name for path in folder.iterdir()} == {
        "weights.safetensors",
        "model.json",
        "history.csv",
        "metrics.json",
        "run.json",
    }
    found = results(name)
    assert 0 <= found["valid_mrr_at_20"] <= 1
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "train_loss", "valid_mrr_at_20", "valid_recall_at_20", "events_per_s"]
    assert len(rows) == found["epochs"]
    assert float(rows[found["best_epoch"] - 1]["valid_mrr_at_20"]) == found["valid_mrr_at_20"]
    weights.load(folder)


def test_the_weights_are_those_of_the_best_epoch(run_folder: Callable[..., Path]) -> None:
    run_folder(train__learning_rate=0.5, train__max_epochs=6, train__patience=6, train__schedule="constant")
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    model, data = weights.load(Path("data/train/gru4rec")), sessions.load(torch.device("cpu"))
    again = fit.validate(model, data, data.of(1))
    assert again["mrr_at_20"] == pytest.approx(results("gru4rec")["valid_mrr_at_20"])


def test_training_stops_when_patience_is_over(run_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([0.3, 0.5, 0.4, 0.4, 0.9])
    monkeypatch.setattr(fit, "validate", lambda *_: {"mrr_at_20": next(values), "recall_at_20": 0.5})
    run_folder(train__max_epochs=5, train__patience=2)
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    assert (results("gru4rec")["epochs"], results("gru4rec")["best_epoch"]) == (4, 2)


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad", "muon"])
def test_same_seed_same_metrics_and_weights(run_folder: Callable[..., Path], optimizer: str) -> None:
    run_folder(train__optimizer=optimizer, train__average_decay=0.9)
    found = []
    for _ in range(2):
        assert stage.main(["train", "gru4rec"]) == stage.DONE
        found.append([(Path("data/train/gru4rec") / name).read_bytes() for name in ("metrics.json", "weights.safetensors")])
    assert found[0] == found[1]


def test_the_average_is_what_is_validated_and_kept(run_folder: Callable[..., Path]) -> None:
    run_folder(train__average_decay=0.99, train__patience=3)
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    model, data = weights.load(Path("data/train/gru4rec")), sessions.load(torch.device("cpu"))
    assert fit.validate(model, data, data.of(1))["mrr_at_20"] == pytest.approx(results("gru4rec")["valid_mrr_at_20"])


FRESH = [[7, 8], [8, 7], [7, 8, 7]]


def test_refit_learns_the_validation_sessions_and_keeps_their_figures(run_folder: Callable[..., Path]) -> None:
    """Items 7 and 8 are in no training session: only who has learned the last day ranks 8 first after 7."""
    found = {}
    for again in (False, True):
        run_folder((TRAINING, FRESH * 20, TEST), train__refit=again, train__max_epochs=4, train__learning_rate=0.05)
        assert stage.main(["train", "gru4rec"]) == stage.DONE
        found[again] = results("gru4rec")
        data = sessions.load(torch.device("cpu"))
        top = weights.load(Path("data/train/gru4rec")).scores(data.batch(data.of(1)[:1]).prefixes()).argmax(1)
        assert (top.tolist() == [8]) is again
    assert found[True]["valid_mrr_at_20"] == found[False]["valid_mrr_at_20"]
    assert (found[False]["refit"], found[True]["refit"]) == (False, True)


def test_refit_counts_the_validation_sessions(run_folder: Callable[..., Path]) -> None:
    run_folder((TRAINING, FRESH * 200, TEST), train__refit=True)
    assert stage.main(["train", "popularity"]) == stage.DONE
    counts = weights.load(Path("data/train/popularity")).state_dict()["counts"]
    assert counts[[7, 8]].tolist() == [800, 600]


def test_mlflow_knows_settings_curves_and_data(run_folder: Callable[..., Path], mlflow_store: str) -> None:
    run_folder()
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    client = MlflowClient(tracking_uri=mlflow_store)
    run = client.get_run(json.loads(Path("data/train/gru4rec/run.json").read_text())["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["train.batch_events"] == "32"
    assert run.data.params["zoo.gru4rec.hidden_size"] == "8"
    assert run.data.tags["stage"] == "train"
    assert len(client.get_metric_history(run.info.run_id, "valid_mrr_at_20")) == 4  # three epochs, and the best one
    assert len(run.inputs.dataset_inputs) == 1


def test_a_log_gets_a_line_for_every_epoch(run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_folder()
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    said = capsys.readouterr().err
    assert [line.split()[1] for line in said.splitlines() if line.startswith("epoch")] == ["1/3", "2/3", "3/3"]
    assert "events/s" in said
    assert "share of padding" in said


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert stage.main(words) == stage.FAILED
    return capsys.readouterr().err


def test_an_unknown_model_lists_the_known_ones(run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_folder()
    said = refused(["train", "gru4wreck"], capsys)
    assert "ParamsError: there is no model 'gru4wreck'" in said
    assert "did you mean 'gru4rec'?" in said
    assert "session_knn" in said


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("train__batch_events", 0, "train.batch_events = 0: Input should be greater than 0"),
        ("train__learning_rate", "fast", "train.learning_rate = 'fast'"),
        ("zoo__gru4rec__hidden_dropout", 1.0, "zoo.gru4rec.hidden_dropout = 1.0: Input should be less than 1"),
        ("zoo__gru4rec__heads", 2, "zoo.gru4rec.heads: there is no such setting"),
        ("train__device", "cuda", "there is no CUDA device"),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_bounds(
    run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str], setting: str, value: object, message: str
) -> None:
    if setting == "train__device" and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    run_folder(**{setting: value})
    assert message in refused(["train", "gru4rec"], capsys)


@pytest.mark.parametrize("name", ["gru4rec", "popularity"])
def test_no_validation_session_is_an_error(
    run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run_folder((TRAINING, [[1], [2]], TEST))
    said = refused(["train", name], capsys)
    assert "there is no validation session with two events or more" in said
    assert "40 training, 2 validation, 1 test sessions" in said
    assert "split.valid_days" in said


def test_no_training_session_is_an_error(run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_folder(([[1]], VALID, TEST))
    assert "there is no training session" in refused(["train", "gru4rec"], capsys)


def test_one_item_is_an_error(run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_folder(([[1, 1]], [[1, 1]], [[1, 1]]), num_items=1)
    assert "the data set has one item" in refused(["train", "popularity"], capsys)


def test_no_data_is_an_error(workspace: Callable[..., Path], mlflow_store: str, capsys: pytest.CaptureFixture[str]) -> None:
    workspace()
    assert "run etl again" in refused(["train", "popularity"], capsys)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The loss of that step is NaN."""

    def poison(step: int) -> None:
        steps, whole = iter(range(1, 10_000)), GRU4Rec.loss
        monkeypatch.setattr(
            GRU4Rec, "loss", lambda self, batch: whole(self, batch) * (float("nan") if next(steps) == step else 1)
        )

    return poison


def test_a_loss_that_is_no_number_stops_with_the_batch_and_keeps_the_best_weights(
    run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str], poisoned: Callable[[int], None]
) -> None:
    run_folder()
    poisoned(8)  # 40 sessions are 5 batches of 8: the third batch of the second epoch
    said = refused(["train", "gru4rec"], capsys)
    assert "DataError: the loss is nan at batch 3 of epoch 2" in said
    assert "lower train.learning_rate" in said
    assert not Path("data/train/gru4rec/weights.safetensors").exists()
    kept = weights.load(Path("data/train/gru4rec/last_good"))
    assert all(bool(torch.isfinite(value).all()) for value in kept.state_dict().values())


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")]
)
def test_out_of_memory_names_the_setting(
    run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def loss(*_: object) -> None:
        raise error

    monkeypatch.setattr(GRU4Rec, "loss", loss)
    run_folder()
    said = refused(["train", "gru4rec"], capsys)
    assert "out of memory while training" in said
    assert "lower train.batch_events" in said


def test_mlflow_down_stops_before_anything_is_trained(
    run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.stores.settings import settings

    run_folder()
    monkeypatch.setenv("NEXTCLICK_MLFLOW_URI", "http://127.0.0.1:9")
    settings.cache_clear()
    said = refused(["train", "gru4rec"], capsys)
    assert "ServiceError: MLflow does not answer" in said
    assert "epoch" not in said
    assert not Path("data/train").exists()


def test_padding_share_is_that_of_the_batches(train_params: Any, run_folder: Callable[..., Path]) -> None:
    run_folder(([[1, 2, 3, 4], [1, 2]], VALID, TEST))
    data = sessions.load(torch.device("cpu"))
    model = GRU4Rec(params.section("zoo.gru4rec", GRU4Rec.Config).model_copy(update={"hidden_size": 4}), data.features)
    one_batch = train_params.model_copy(update={"batch_events": 8, "max_epochs": 2})
    *_, last = fit.fit(model, data, one_batch)
    assert isinstance(last, Fit)
    assert last.padding_share == 0.25  # 6 events in 2 x 4 places
    assert len(data.of(TRAIN)) == 2
