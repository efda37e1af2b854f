"""The stage itself: read, train or count, write, tell MLflow."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from models.core import registry
from models.core.base import CountingModel, SessionModel
from pipelines import params
from pipelines.errors import DataError, ParamsError, nearest
from pipelines.paths import ETL, TRAIN
from pipelines.split import TRAIN as TRAINING
from pipelines.split import VALID
from pipelines.stage import Report
from pipelines.stores import sessions, tracking, weights
from pipelines.stores.sessions import Sessions
from pipelines.train.fit import Epoch, Fit, fit, refit
from pipelines.train.params import TrainParams
from pipelines.train.steps import DivergedError
from pipelines.train.validate import sessions_to_validate, validate

LAST_GOOD = "last_good"
"""Folder beside the results that keeps the weights of a training that diverged."""


def work(train: TrainParams, name: str) -> Report:
    """See the package's docstring."""
    if name not in registry.names():
        raise ParamsError(f"there is no model {name!r}", f"python -m pipelines train {name}", nearest(name, registry.names()))
    kind = registry.find(name)
    config = params.section(f"zoo.{name}", kind.Config)
    tracking.check()
    device = choose_device(train)
    data = sessions.load(device, kind.columns(config))
    if data.features.num_items < 2:
        raise DataError("the data set has one item: there is nothing to rank", str(ETL), "give events with more items")
    sessions_to_validate(data, VALID)

    def untrained(*splits: int) -> SessionModel:
        torch.manual_seed(train.seed)
        model = kind(config, data.features).to(device)
        model.know(data.counts(*splits))
        return model

    folder = TRAIN / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    begin = time.monotonic()
    with tracking.start(name, {"stage": "train", "model": name}) as run:
        run.params({"train": train.model_dump(mode="json"), f"zoo.{name}": config.model_dump(mode="json")})
        run.data(ETL, "train", {"sessions": len(data.split), "events": len(data.items), **data.features.model_dump()})
        model = untrained(TRAINING)
        result = learn(model, data, train, folder, name, run)
        measured = {f"valid_{key}": value for key, value in result.metrics.items()}
        numbers = sum(parameter.numel() for parameter in model.parameters())
        run.metrics({**measured, "best_epoch": result.best_epoch, "parameters": numbers})
        if train.refit:
            good, model = model, untrained(TRAINING, VALID)
            learn_again(model, good, data, train, result, folder, name, run)
    weights.save(name, model, folder)
    write_history(folder / "history.csv", result.history)
    write_json(
        folder / "metrics.json",
        {**measured, "epochs": len(result.history), "best_epoch": result.best_epoch, "parameters": numbers, "refit": train.refit},
    )
    timings = {"train_s": result.train_seconds, "total_s": time.monotonic() - begin}
    rate = result.history[-1].events_per_s
    write_json(
        folder / "run.json",
        {"mlflow_run_id": run.id, "mlflow_url": run.url, "device": str(device), "events_per_s": rate, **timings},
    )
    return Report(
        read={"training sessions": len(data.of(TRAINING)), "validation sessions": len(data.of(VALID))},
        wrote={"numbers of weights": sum(value.numel() for value in model.state_dict().values())},
        notes=[*notes(result, device, train.refit), *data.notes],
        result={"model": name, "valid_mrr_at_20": result.metrics["mrr_at_20"], "mlflow_run_id": run.id},
    )


def learn(model: SessionModel, data: Sessions, train: TrainParams, folder: Path, name: str, run: tracking.Run) -> Fit:
    """Count or train. A training that diverges leaves its last good weights in `last_good`."""
    if isinstance(model, CountingModel):
        seconds, rate = count(model, data, TRAINING)
        measured = validate(model, data, sessions_to_validate(data, VALID), train.validate_on == "last_item")
        row = Epoch(1, float("nan"), measured["mrr_at_20"], measured["recall_at_20"], rate)
        return Fit([row], 1, measured, None, seconds)
    result = Fit()
    with last_good_kept(model, folder, name):
        for result in fit(model, data, train):
            last = asdict(result.history[-1])
            run.metrics({key: value for key, value in last.items() if key != "epoch"}, step=int(last["epoch"]))
    return result


def learn_again(
    model: SessionModel,
    good: SessionModel,
    data: Sessions,
    train: TrainParams,
    result: Fit,
    folder: Path,
    name: str,
    run: tracking.Run,
) -> None:
    """Count or train with the validation sessions. The weights that were validated, `good`, are kept if that diverges."""
    if isinstance(model, CountingModel):
        count(model, data, TRAINING, VALID)
        return
    with last_good_kept(good, folder, name):
        for epoch, loss in enumerate(refit(model, data, train, result.best_epoch), 1):
            run.metrics({"refit_train_loss": loss}, step=epoch)


@contextmanager
def last_good_kept(model: SessionModel, folder: Path, name: str) -> Iterator[None]:
    """A training that diverges within the block leaves this model in `last_good`."""
    try:
        yield
    except DivergedError as error:
        weights.save(name, model, folder / LAST_GOOD)
        good = f"the last good weights lie in {folder / LAST_GOOD}"
        raise DataError(error.what, error.where, f"{error.next_step}; {good}") from None


def count(model: CountingModel, data: Sessions, *splits: int) -> tuple[float, float]:
    """One pass over all sessions of those splits; seconds and events per second."""
    sessions = data.of(*splits)
    if len(sessions) == 0:
        raise DataError("there is no training session", str(ETL), "give more days of events")
    begin = time.monotonic()
    batch = data.batch(sessions)
    model.fit(batch)
    seconds = time.monotonic() - begin
    return seconds, int(batch.lengths.sum()) / max(seconds, 1e-9)


def choose_device(train: TrainParams) -> torch.device:
    """The device of the settings. ParamsError if it is not there."""
    there = torch.cuda.is_available()
    if train.device == "cuda" and not there:
        raise ParamsError("there is no CUDA device", "train.device = cuda", "set train.device: auto, or run on a GPU machine")
    return torch.device("cuda" if there and train.device != "cpu" else "cpu")


def notes(result: Fit, device: torch.device, again: bool) -> list[str]:
    measured, rate = result.metrics, f"{result.history[-1].events_per_s:,.0f} events/s"
    if result.padding_share is None:
        how = [f"counted on {device}, {rate}"]
    else:
        how = [f"trained on {device}, {rate}, share of padding {result.padding_share:.1%}"]
        how.append(f"best epoch {result.best_epoch} of {len(result.history)}")
    return [
        *how,
        f"validation MRR@20 {measured['mrr_at_20']:.4f}, Recall@20 {measured['recall_at_20']:.4f}",
        *(["then learned again with the validation sessions, which those figures had not seen"] if again else []),
    ]


def write_history(path: Path, history: list[Epoch]) -> None:
    """A loss that was not measured (counting models) is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([column.name for column in fields(Epoch)])
        for epoch in history:
            rows.writerow(["" if value != value else value for value in asdict(epoch).values()])


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
