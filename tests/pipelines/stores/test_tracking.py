from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.errors import DataError, ServiceError
from pipelines.stores import tracking
from pipelines.stores.settings import settings


@pytest.fixture
def client(mlflow_store: str) -> MlflowClient:
    return MlflowClient(tracking_uri=mlflow_store)


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A port that takes connections and never answers: MLflow hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("NEXTCLICK_MLFLOW_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        settings.cache_clear()
        yield settings().tracking_uri
    settings.cache_clear()


def test_a_run_holds_settings_curves_data_and_lineage(
    client: MlflowClient, workspace: Callable[..., Path], write_etl: Callable[..., None]
) -> None:
    folder = workspace()
    write_etl(([[1, 2]], [[1, 2]], [[1, 2]]), 2)
    (folder / "dvc.lock").write_text("stages:\n  train@gru4rec:\n    outs:\n    - path: data/train/gru4rec\n      md5: abc.dir\n")
    with tracking.start("gru4rec", {"stage": "train"}) as run:
        run.params({"train": {"seed": 1}, "zoo": {"gru4rec": {"layers": 2}}})
        for step in (1, 2):
            run.metrics({"loss": 1 / step}, step)
        run.data(Path("data/etl"), "train", {"events": 6})
    found = client.get_run(run.id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"train.seed": "1", "zoo.gru4rec.layers": "2"}
    assert [point.value for point in client.get_metric_history(run.id, "loss")] == [1, 0.5]
    assert found.data.tags["dvc.train.gru4rec.data/train/gru4rec"] == "abc.dir"
    assert found.data.tags["stage"] == "train"
    (data,) = found.inputs.dataset_inputs
    assert data.dataset.digest == tracking.digest(Path("data/etl"))
    assert client.get_experiment(found.info.experiment_id).name == "nextclick"


def test_a_run_that_raises_is_failed(client: MlflowClient) -> None:
    with pytest.raises(ZeroDivisionError), tracking.start("x", {}) as run:
        raise ZeroDivisionError
    assert client.get_run(run.id).info.status == "FAILED"


def test_an_earlier_run_takes_more_metrics(client: MlflowClient) -> None:
    with tracking.start("x", {}) as run:
        pass
    tracking.resume(run.id).metrics({"test_mrr_at_20": 0.25})
    assert client.get_run(run.id).data.metrics == {"test_mrr_at_20": 0.25}


def test_a_run_that_mlflow_does_not_know_is_an_error(mlflow_store: str) -> None:
    with pytest.raises(ServiceError, match="not found"):
        tracking.resume("0" * 32)


def test_mlflow_down_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("NEXTCLICK_MLFLOW_URI", f"http://127.0.0.1:{port}")
    settings.cache_clear()
    with pytest.raises(ServiceError, match=f"127.0.0.1:{port}") as caught:
        tracking.check()
    assert "make up" in caught.value.next_step
    settings.cache_clear()


@pytest.mark.slow
def test_mlflow_that_hangs_is_given_up_within_ten_seconds(silent_server: str) -> None:
    begin = time.monotonic()
    with pytest.raises(ServiceError, match=silent_server):
        tracking.check()
    assert time.monotonic() - begin < 10


def test_the_digest_knows_contents_and_names_but_not_timings(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = tracking.digest(tmp_path)
    (tmp_path / "run.json").write_text("took 3 s")
    assert tracking.digest(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert tracking.digest(tmp_path) != first


def test_an_empty_data_set_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        tracking.digest(tmp_path)
