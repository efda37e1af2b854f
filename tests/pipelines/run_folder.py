"""A run's folder as register, gate and promote find it: hand-made data, fitted models, made-up ranks. Trained in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import yaml
from mlflow import MlflowClient

from models.core import registry
from models.core.base import CountingModel, Features
from models.core.batch import SessionBatch
from pipelines import metrics
from pipelines.stores import weights
from pipelines.stores.settings import settings
from tests.pipelines.conftest import add_column

ROOT = Path(__file__).resolve().parents[2]
NUM_ITEMS, LENGTH, SESSIONS = 40, 8, 200
MODELS = ("gru4rec", "session_popularity", "session_knn")
COLUMNS = ("category", "event_type", "price", "hour_sin")
LISTS = {
    "coverage_at_20": 0.5,
    "mean_popularity_at_20": 0.3,
    "gini_at_20": 0.5,
    "repeat_share_at_20": 0.1,
    "overlap_at_20": 0.1,
}
"""What the lists shown are like."""
SMALL: dict[str, dict[str, Any]] = {"gru4rec": {"hidden_size": 16}}


def make(folder: Path, seed: int = 1, better: float = 0.5, columns: Sequence[str] = ()) -> None:
    """Write params.yaml and data/.

    seed: of weights and ranks; better: 0..1, how good the ranks of gru4rec are; columns: what it reads, of COLUMNS
    """
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["models"] = list(MODELS)
    params["register"] |= {"check_sessions": 30, "rehearsal_requests": 30, "num_answers": 10, "candidates": None}
    params["gate"] |= {"max_p50_ms": 500.0, "max_p95_ms": 500.0, "max_latency_ratio": 20.0, "min_slice_sessions": 20}
    params["gate"] |= {"min_parity_sessions": 30}
    params["gate"] |= {"drift_columns": ["category", "event_type", "session_length"], "max_psi": 0.5}  # few events, one day
    folder.mkdir(parents=True, exist_ok=True)
    walks = sessions()
    etl(folder / "data" / "etl", walks)
    params["zoo"]["gru4rec"]["columns"] = list(columns)
    chance = np.random.default_rng(seed)
    quality = {"gru4rec": better, "session_popularity": 0.2, "session_knn": 0.4}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for name in MODELS:
        train(folder / "data" / "train" / name, name, walks, params["zoo"][name], seed, quality[name])
        evaluate(folder / "data" / "evaluate" / name, chance, quality[name])
    absent = folder / "data" / "evaluate" / "champion"
    absent.mkdir(parents=True)
    (absent / "metrics.json").write_text('{"absent": true}')


def sessions() -> torch.Tensor:
    """[SESSIONS, LENGTH] item indices: walks along a ring of items; padded on the right."""
    chance = torch.Generator().manual_seed(1)
    steps = torch.randint(1, 3, (SESSIONS, LENGTH), generator=chance).cumsum(1)
    items = (torch.randint(0, NUM_ITEMS, (SESSIONS, 1), generator=chance) + steps) % NUM_ITEMS + 1
    lengths = torch.randint(2, LENGTH + 1, (SESSIONS, 1), generator=chance)
    return items.where(torch.arange(LENGTH) < lengths, 0)


def etl(folder: Path, walks: torch.Tensor) -> None:
    (folder / "columns").mkdir(parents=True)
    lengths = (walks > 0).sum(1).numpy()
    np.save(folder / "columns" / "item_id.npy", walks[walks > 0].numpy())
    np.save(folder / "offsets.npy", np.concatenate([[0], lengths.cumsum()]))
    np.save(folder / "split.npy", np.repeat([0, 1, 2], [140, 20, 40]).astype(np.int8))
    times = np.arange(len(walks[walks > 0])) * 61_000_000 + 1_793_000_000_000_000
    np.save(folder / "columns" / "timestamp.npy", times)
    schema = {"num_items": NUM_ITEMS, "max_session_length": LENGTH, "columns": {"timestamp": {"role": "time"}}}
    (folder / "schema.json").write_text(json.dumps(schema))
    (folder / "summary.json").write_text(json.dumps({"sessions": {"train": 140, "valid": 20, "test": 40}}))
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    starts = [begin + timedelta(hours=number) for number in range(SESSIONS)]
    pl.DataFrame({"session": range(SESSIONS), "start": starts}).write_parquet(folder / "session_ids.parquet")
    index = np.arange(1, NUM_ITEMS + 1)
    keys = [f"item-{number}" for number in index]
    rows = {"item_id": index * 7 - 20, "item_key": keys, "index": index, "first_seen": [begin] * NUM_ITEMS, "count": index[::-1]}
    pl.DataFrame(rows).write_parquet(folder / "vocabulary.parquet")
    events = walks[walks > 0].numpy()
    items = {"index": index, "category": [f"c{n % 3}" for n in index], "brand": [None] * NUM_ITEMS, "price": index + 0.5}
    pl.DataFrame(items, schema_overrides={"brand": pl.String}).write_parquet(folder / "items.parquet")
    add_column(folder, "category", (events % 3 + 4).tolist(), ["c0", "c1", "c2"])
    add_column(folder, "event_type", (np.arange(len(events)) % 2 + 4).tolist(), ["view", "cart"])
    add_column(folder, "price", ((np.log1p(events + 0.5) - 3) / 2).tolist(), mean=3.0, std=2.0)
    day = times / 86_400_000_000
    add_column(folder, "hour_sin", np.sin(2 * np.pi * (day % 1)).tolist())


def train(folder: Path, name: str, walks: torch.Tensor, values: dict[str, Any], seed: int, valid: float) -> None:
    torch.manual_seed(seed)
    kind = registry.find(name)
    config = kind.Config.model_validate({**values, **SMALL.get(name, {})})
    sizes = {"category": 7, "event_type": 6}
    known = {column: sizes[column] for column in kind.columns(config) if column in sizes}
    features = Features(num_items=NUM_ITEMS, max_session_length=LENGTH, cardinalities=known)
    model = kind(config, features).eval()
    if isinstance(model, CountingModel):
        model.fit(SessionBatch(walks, (walks > 0).sum(1)))
    weights.save(name, model, folder, folder.parents[1] / "etl")
    rows = "".join(f"{epoch},{3 - epoch / 10},{epoch / 10},{epoch / 5},1000.0\n" for epoch in range(1, 4))
    (folder / "history.csv").write_text(f"epoch,train_loss,valid_mrr_at_20,valid_recall_at_20,events_per_s\n{rows}")
    (folder / "metrics.json").write_text(json.dumps({"valid_mrr_at_20": valid, "valid_recall_at_20": valid}))
    (folder / "run.json").write_text(json.dumps({"mlflow_run_id": mlflow_run(name)}))


def evaluate(folder: Path, chance: np.random.Generator, quality: float) -> None:
    """300 predictions of 60 sessions; a share `quality` has rank 1, the others rank 30. Half of the sessions are of each day."""
    ranks = np.where(chance.permutation(300) < 300 * quality, 1, 30)
    folder.mkdir(parents=True)
    rows = {
        "session": np.repeat(np.arange(60), 5),
        "position": np.tile(np.arange(1, 6), 60),
        "target": np.ones(300),
        "rank": ranks,
    }
    days = ["2026-11-08", "2026-11-09"]
    parts = {"day": pl.Series(np.repeat(days, 150).tolist(), dtype=pl.Enum(days))}
    pl.DataFrame(rows).cast(pl.Int32).with_columns(**parts).write_parquet(folder / "ranks.parquet")
    measured = metrics.summary(torch.from_numpy(ranks))
    (folder / "metrics.json").write_text(json.dumps({**measured, **LISTS, "unseen_share": 0.1, "sessions": 40}))
    (folder / "slices.json").write_text("{}")


def mlflow_run(name: str) -> str:
    client = MlflowClient(tracking_uri=settings().tracking_uri)
    place = (settings().artifacts / "nextclick").as_uri()
    experiment = client.get_experiment_by_name("nextclick")
    number = experiment.experiment_id if experiment else client.create_experiment("nextclick", artifact_location=place)
    run = client.create_run(number, run_name=name)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)
