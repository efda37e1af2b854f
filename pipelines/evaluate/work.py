"""The stage itself: read, rank, write, tell MLflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import torch
from jaxtyping import Int
from torch import Tensor

from models.core.base import SessionModel
from pipelines import metrics
from pipelines.columns import TIME
from pipelines.errors import DataError, PipelineError
from pipelines.evaluate import given, labels, rank
from pipelines.evaluate.labels import Labels
from pipelines.evaluate.params import EvaluateParams
from pipelines.evaluate.rank import Asked, Predictions
from pipelines.evaluate.slices import slices
from pipelines.machine import choose_device, keep_memory
from pipelines.paths import ETL, EVALUATE, UNREADABLE
from pipelines.paths import TRAIN as TRAINED
from pipelines.split import TEST, TRAIN
from pipelines.stage import Report
from pipelines.stores import sessions, tracking, weights
from pipelines.stores.sessions import Sessions

CHAMPION = "champion"


def work(evaluate: EvaluateParams, name: str) -> Report:
    """See the package's docstring."""
    source, folder = TRAINED / name, EVALUATE / name
    if name == CHAMPION and not source.exists():
        prepare(folder)
        write_json(folder / "metrics.json", {"absent": True})
        return Report(notes=["no champion yet: nothing to compare with"], result={"model": name, "absent": True})
    device = choose_device(evaluate.device, "evaluate.device")
    keep_memory()
    try:
        model, data = load(source, device)
        columns, rows = model.columns_to_score(model.config), metrics.rows_at_once(model.numbers_per_row(), device)
        asked, lengths_of = predictions(evaluate, data, rows, columns)
    except PipelineError as error:
        if name != CHAMPION:
            raise
        return unmeasured(folder, f"{error.what} ({error.where})")
    run = None if name == CHAMPION else tracking.resume(sessions.read_json(source / "run.json")["mlflow_run_id"])
    counts = data.counts()
    found, shown = rank.rank(model.to(device), asked, counts)

    summary = sessions.read_json(ETL / "summary.json")
    measured = {**metrics.summary(found.rank), **shown.summary(), "unseen_share": unseen_share(summary)}
    sizes = {"predictions": len(found.rank), "sessions": len(torch.unique(found.session)), "num_items": data.features.num_items}
    times = None
    if evaluate.protocol != "given_prefixes":
        times = data.columns[TIME].cpu()[data.offsets.cpu()[found.session] + found.position]
    lengths = lengths_of[found.session]
    divided = labels.labels(found.target, lengths, times, counts.cpu(), evaluate)
    prepare(folder)
    write_json(folder / "metrics.json", {**measured, **sizes})
    write_json(
        folder / "slices.json",
        slices(found.rank, {"session_length": labels.by_length(lengths, evaluate.long_from), **divided}),
    )
    write_ranks(folder / "ranks.parquet", found, divided)
    if run is not None:
        run.metrics({f"test_{key}": value for key, value in measured.items()})
    return Report(
        read={"predictions": len(found.rank), "test sessions": sizes["sessions"]},
        wrote={"ranks": len(found.rank)},
        notes=[
            f"test MRR@20 {measured['mrr_at_20']:.4f}, Recall@20 {measured['recall_at_20']:.4f}, protocol {evaluate.protocol}"
        ],
        result={"model": name, "mrr_at_20": measured["mrr_at_20"], "recall_at_20": measured["recall_at_20"]},
    )


def load(source: Path, device: torch.device) -> tuple[SessionModel, Sessions]:
    """A trained model, ready to score, and the data with the columns it reads. DataError if the two do not fit."""
    if (source / UNREADABLE).exists():
        why = sessions.read_json(source / UNREADABLE)
        raise DataError(
            why["why"], f"version {why['version']} of {why['model']}", "promote another version, or override the gate"
        )
    model = weights.load(source)
    model.fold()
    columns = model.columns_to_score(model.config)
    data = sessions.load(device, dict.fromkeys((*columns, TIME)), known=weights.read_card(source).columns)
    if model.features.num_items > data.features.num_items:
        what = f"the model knows {model.features.num_items:,} items, the data only {data.features.num_items:,}"
        raise DataError(
            what, f"{source / weights.CARD}, {ETL / 'schema.json'}", "the vocabulary only grows: train the model again"
        )
    return model, data


def unmeasured(folder: Path, why: str) -> Report:
    """A champion that cannot be scored any more does not end the run: the gate refuses, and says this."""
    prepare(folder)
    write_json(folder / "metrics.json", {"unmeasured": why})
    return Report(notes=[f"the champion cannot be measured, so the gate will refuse: {why}"], result={"model": CHAMPION})


def predictions(
    evaluate: EvaluateParams, data: Sessions, rows: int, columns: tuple[str, ...]
) -> tuple[Iterator[Asked], Int[Tensor, "S"]]:
    """What is asked of a model that reads these columns, and the length of every session that may be named in it.

    DataError if there is nothing to predict.
    """
    if evaluate.protocol == "given_prefixes":
        data = given.read(evaluate.prefixes, data, columns)
        chosen = data.of(TRAIN, at_least=2)
    else:
        chosen = data.of(TEST, at_least=2)
    if len(chosen) == 0:
        raise DataError(
            "the test split is empty: there is no test session with two events or more",
            f"{ETL}: {len(data.of(TEST)):,} of {len(data.split):,} sessions are test sessions, the longest of all has "
            f"{int(data.lengths.max()) if len(data.split) else 0} events",
            "raise split.test_days (or split.test_share with split.by: shares), or give more days of events",
        )
    protocol = rank.every_position if evaluate.protocol == "every_position" else rank.last_item
    return protocol(data, chosen, rows), data.lengths.cpu()


def unseen_share(summary: Mapping[str, Any]) -> float:
    """Share of the test events whose item had no training event."""
    return float(summary["unseen_test_events"]) / max(1, int(summary["test_events"]))


def prepare(folder: Path) -> None:
    """Results of an earlier evaluation do not stay beside new ones."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def write_ranks(path: Path, found: Predictions, divided: Labels) -> None:
    columns = {name: getattr(found, name).numpy() for name in ("session", "position", "target", "rank")}
    named = {kind: label.series() for kind, label in divided.items()}
    pl.DataFrame(columns).cast(pl.Int32).with_columns(**named).write_parquet(path)
