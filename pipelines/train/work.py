"""The stage itself: read, train or count, write, tell MLflow."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

import models
from models.core import registry
from models.core.base import CountingModel
from pipelines import metrics, params
from pipelines.errors import DataError, ParamsError, nearest
from pipelines.machine import keep_memory
from pipelines.paths import ETL, TRAIN
from pipelines.split import TRAIN as TRAINING
from pipelines.split import VALID
from pipelines.stage import Report
from pipelines.stores import sessions, tracking, weights
from pipelines.train import distributed
from pipelines.train.checkpoint import Checkpoint, code, settings
from pipelines.train.distributed import Processes
from pipelines.train.fit import Epoch, Fit
from pipelines.train.learn import Lesson, learn, learn_again
from pipelines.train.machine import device_of
from pipelines.train.params import TrainParams
from pipelines.train.validate import sessions_to_validate

CHECKPOINT = "checkpoint"
"""Folder beside the results; DVC does not know it and so leaves it alone when it runs a stage again."""


def work(train: TrainParams, name: str) -> Report:
    """See the package's docstring."""
    if name not in registry.names():
        raise ParamsError(f"there is no model {name!r}", f"python -m pipelines train {name}", nearest(name, registry.names()))
    kind = registry.find(name)
    config = params.section(f"zoo.{name}", kind.Config)
    tracking.check()
    device = device_of(train, distributed.local_rank())
    keep_memory()
    data = sessions.load(device, kind.columns(config), of_items=kind.item_columns(config))
    if data.features.num_items < 2:
        raise DataError("the data set has one item: there is nothing to rank", str(ETL), "give events with more items")
    sessions_to_validate(data, VALID)
    with distributed.processes(device) as group:
        report = one_of(group, Lesson(name, kind, config, data, train, device, group))
    if not group.first:
        raise SystemExit(0)  # the first process has written and reports
    return report


def one_of(group: Processes, lesson: Lesson) -> Report:
    """What each process does; the files are written by the first."""
    name, data, train, folder = lesson.name, lesson.data, lesson.train, TRAIN / lesson.name
    kept = checkpoint(lesson, folder)
    if group.first:
        clear(folder, but=kept if kept and kept.found else None)
    begin = time.monotonic()
    tags = {"stage": "train", "model": name}
    with tracking.start(name, tags, kept.mlflow_run_id if kept else None) if group.first else nullcontext() as run:
        if run:
            learning_rate = train.learning_rate or lesson.kind.learning_rate
            settled = train.model_copy(update={"learning_rate": learning_rate}).model_dump(mode="json")
            run.params({"train": settled, f"zoo.{name}": lesson.config.model_dump(mode="json")})
            profile = {"sessions": len(data.split), "events": len(data.items), **data.features.model_dump()}
            run.data(ETL, "train", profile)
        if kept and run:
            kept.mlflow_run_id = run.id
        model, result = learn(lesson, folder, kept, run)
        measured = {f"valid_{key}": value for key, value in result.metrics.items()}
        numbers = sum(parameter.numel() for parameter in model.parameters())
        if run:
            run.metrics({**measured, "best_epoch": result.best_epoch, "parameters": numbers})
        if train.refit:
            model = learn_again(lesson, model, result, folder, kept, run)
    if not run:
        return Report()
    weights.save(name, model, folder)
    write_history(folder / "history.csv", result.history)
    counted = {"epochs": len(result.history), "best_epoch": result.best_epoch, "parameters": numbers, "refit": train.refit}
    write_json(folder / "metrics.json", {**measured, **counted})
    timings = {"train_s": result.train_seconds, "total_s": time.monotonic() - begin}
    rate = result.history[-1].events_per_s
    where = {"mlflow_run_id": run.id, "mlflow_url": run.url, "device": str(lesson.device), "processes": group.size}
    write_json(folder / "run.json", {**where, "events_per_s": rate, **timings})
    if kept:
        kept.discard()
    return Report(
        read={"training sessions": len(data.of(TRAINING)), "validation sessions": len(data.of(VALID))},
        wrote={"numbers of weights": sum(value.numel() for value in model.state_dict().values())},
        notes=[*notes(result, lesson, kept), *data.notes],
        result={"model": name, "valid_mrr_at_20": result.metrics["mrr_at_20"], "mlflow_run_id": run.id},
    )


def checkpoint(lesson: Lesson, folder: Path) -> Checkpoint | None:
    """Of this very training; None for counting models, which are done in one go."""
    if issubclass(lesson.kind, CountingModel):
        return None
    root = Path(models.__file__).parent
    files = [*root.glob("core/**/*.py"), root / f"{lesson.name}.py", *Path(__file__).parent.glob("*.py")]
    files += [Path(str(module.__file__)) for module in (sessions, metrics)]
    return Checkpoint(
        folder / CHECKPOINT,
        {
            "settings": settings(lesson.train.model_dump(mode="json"), lesson.config.model_dump(mode="json")),
            "data": tracking.digest(ETL),
            "code": code(files),
            "torch": torch.__version__,
            "machine": f"{lesson.group.size} x {lesson.device.type}",
        },
    )


def clear(folder: Path, but: Checkpoint | None) -> None:
    """An empty folder, but for the checkpoint that is gone on from."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not (but and path == but.folder):
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()


def notes(result: Fit, lesson: Lesson, kept: Checkpoint | None) -> list[str]:
    """What a person should know of a training."""
    measured, rate = result.metrics, f"{result.history[-1].events_per_s:,.0f} events/s"
    if result.padding_share is None:
        how = [f"counted on {lesson.device}, {rate}"]
    else:
        many = f"{lesson.group.size} processes, " if lesson.group.size > 1 else ""
        how = [f"trained on {lesson.device}, {many}{rate}, share of padding {result.padding_share:.1%}"]
        how.append(f"best epoch {result.best_epoch} of {len(result.history)}")
    if kept and kept.found:
        how.append("went on from the checkpoint of a run that was ended")
    how.append(f"validation MRR@20 {measured['mrr_at_20']:.4f}, Recall@20 {measured['recall_at_20']:.4f}")
    if lesson.train.refit:
        how.append("then learned again with the validation sessions, which those figures had not seen")
    return how


def write_history(path: Path, history: list[Epoch]) -> None:
    """A loss that was not measured (counting models) is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([column.name for column in fields(Epoch)])
        for epoch in history:
            rows.writerow(["" if value != value else value for value in asdict(epoch).values()])


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
