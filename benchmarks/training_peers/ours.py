"""nextclick's trainer and evaluation: the stage's own steps over all training sessions, ranks by `evaluate` after an epoch.

job   etl (folder), model, zoo and train (what differs from params.yaml), params (that file), device, evaluate ("each", "last",
      "never"), weights (of GRU4Rec's official code, npz: nothing is trained, they are measured here; or null)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import clock
import numpy as np
import polars as pl
import torch
from counted import Counted, sizes

from models.core import registry
from models.core.base import SessionModel
from pipelines import metrics, params
from pipelines.evaluate import rank
from pipelines.machine import keep_memory
from pipelines.split import TEST, TRAIN
from pipelines.stores import sessions
from pipelines.train.params import TrainParams
from pipelines.train.progress import Progress

clock.imports_done()


def section(name: str, kind: type[Any], changes: dict[str, Any], path: Path) -> Any:
    values = params.read(path)
    for part in name.split("."):
        values = values[part]
    return params.validate(name, kind, {**values, **changes})


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(model: SessionModel, data: sessions.Sessions) -> dict[str, float]:
    """Every position of every test session, all items ranked, ties against the model."""
    device, begin = data.items.device, clock.now()
    rows = metrics.rows_at_once(model.numbers_per_row(), device)
    found, _ = rank.rank(model, rank.every_position(data, data.of(TEST, at_least=2), rows), data.counts())
    measured = metrics.summary(found.rank)
    synchronize(device)
    end = clock.now()
    return {
        "mrr_at_20": measured["mrr_at_20"],
        "recall_at_20": measured["recall_at_20"],
        "predictions": len(found.rank),
        "test_wall_s": end[0] - begin[0],
        "test_cpu_s": end[1] - begin[1],
    }


def official_weights(model: SessionModel, file: str, vocabulary: Path) -> None:
    """GRUCell and nn.GRU order their gates alike; the item table goes by raw id."""
    weights = np.load(file, allow_pickle=False)
    index = pl.read_parquet(vocabulary).select(pl.col("item_id").cast(pl.String), "index")
    rows = pl.DataFrame({"item_id": weights["items"].tolist()}).join(index, on="item_id", how="left", maintain_order="left")
    places = torch.from_numpy(rows["index"].to_numpy().astype(np.int64))
    state = model.state_dict()
    state["head.table.weight"][places] = torch.from_numpy(weights["Wy.weight"])
    state["head.bias"][places] = torch.from_numpy(weights["By.weight"][:, 0])
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        state[f"gru.{name}_l0"] = torch.from_numpy(weights[f"G.0.{name}"])
    model.load_state_dict(state)


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    device, path = torch.device(job["device"]), Path(job["params"])
    keep_memory()
    kind = registry.find(job["model"])
    config = section(f"zoo.{job['model']}", kind.Config, job["zoo"], path)
    train = section("train", TrainParams, {"device": device.type, **job["train"]}, path)
    data = sessions.load(device, kind.columns(config), Path(job["etl"]), of_items=kind.item_columns(config))
    torch.manual_seed(train.seed)
    model = kind(config, data.features).to(device)
    model.know(data.counts(), data.item_values())
    if job["weights"]:
        official_weights(model, job["weights"], Path(job["etl"]) / "vocabulary.parquet")
        clock.say("epoch", {"epoch": 0, **measure(model, data)})
        return
    stepper = Counted(model, data, data.of(TRAIN, at_least=2), train)
    watch = clock.Watch()
    for epoch in range(1, train.max_epochs + 1):
        loss = stepper.epoch(epoch, Progress(f"epoch {epoch}", stepper.events))
        synchronize(device)
        seconds = watch.stop()
        quality: dict[str, float] = {}
        if job["evaluate"] == "each" or (job["evaluate"] == "last" and epoch == train.max_epochs):
            with stepper.average.in_place():
                quality = measure(model, data)
        clock.say("epoch", {"epoch": epoch, "loss": loss, **seconds, **quality})
        watch.start()
    done = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "bfloat16": stepper.bfloat16,
        "padding_share": 1 - stepper.events * train.max_epochs / stepper.places,
        "sizes": sizes(model, stepper, train.max_epochs),
        "peak_rss_mib": clock.peak_rss_mib(),
        "peak_gpu_mib": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
    }
    clock.say("done", done)


if __name__ == "__main__":
    main()
