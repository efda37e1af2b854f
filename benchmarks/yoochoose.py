"""Quality on YOOCHOOSE clicks, by the stages themselves: sessions are written as data/etl, then `train` and `evaluate` run.

    python benchmarks/yoochoose.py srgnn  [MODEL ...]    1/64 split of SR-GNN: every test prefix is one prediction
    python benchmarks/yoochoose.py clicks [MODEL ...]    100,000 clicks in GRU4Rec's format: the last day is the test

The data are looked for in NEXTCLICK_DATA, else ../shared/data. Validation: the last 10 % of the training sessions.
Published for srgnn (P@20 / MRR@20, %): NARM 68.32/28.63, SR-GNN 70.57/30.94; session popularity 31.04/18.58.
MLflow is an empty database of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("NEXTCLICK_DATA", ROOT.parent / "shared" / "data")).resolve()
VALID_SHARE = 0.1
LONGEST = 50


def srgnn() -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    """Training sessions in time order (the set carries no times: a minute is made of each); the prefixes are a file."""
    folder = DATA / "yoochoose1_64_srgnn"
    train = (
        pl.read_parquet(folder / "train_sessions.parquet").select("session", pl.col("items").alias("item_id")).explode("item_id")
    )
    train = train.with_columns(time=pl.int_range(pl.len()) * 60_000_000)
    last = train.filter(pl.col("session") == train["session"].max())
    protocol = {"protocol": "given_prefixes", "prefixes": str(folder / "test_prefixes.parquet")}
    return train, last, protocol  # the stage wants a test split; its own protocol reads the file


def clicks() -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]:
    """GRU4Rec's own split; test items that training never saw are left out, as its code does."""
    parts = []
    for name in ("train_full", "test"):
        file = DATA / "yoochoose_clicks_100k" / f"yoochoose-clicks-100k_{name}.txt.gz"
        rows = pl.read_csv(file, separator="\t")
        start = pl.col("Time").min().over("SessionId")
        times = (pl.col("Time") * 1e6).cast(pl.Int64)
        ordered = rows.sort(start, "SessionId", "Time", maintain_order=True)
        parts.append(ordered.select(session="SessionId", item_id="ItemId", time=times))
    train, test = parts
    test = test.filter(pl.col("item_id").is_in(train["item_id"].unique().implode()))
    return train, test.filter(pl.len().over("session") > 1), {"protocol": "every_position"}


SETS = {"srgnn": srgnn, "clicks": clicks}


def write(train: pl.DataFrame, test: pl.DataFrame, folder: Path) -> None:
    """data/etl of these events; items are numbered in the order of their first training event."""
    words = train.group_by("item_id", maintain_order=True).agg(count=pl.len(), first_seen=pl.col("time").first())
    words = words.with_columns(index=pl.int_range(1, pl.len() + 1), item_key=pl.lit(None, pl.String))
    sessions = pl.concat([train.with_columns(test=False), test.with_columns(test=True)])
    rows = (
        sessions.group_by("test", "session", maintain_order=True)
        .tail(LONGEST)
        .join(words.select("item_id", "index"), on="item_id", maintain_order="left")
    )
    lengths = rows.group_by("test", "session", maintain_order=True).len()
    is_test = lengths["test"].to_numpy()
    split = np.where(is_test, 2, 0).astype(np.int8)
    training = int((~is_test).sum())
    split[round(training * (1 - VALID_SHARE)) : training] = 1
    (folder / "columns").mkdir(parents=True)
    np.save(folder / "columns/item_id.npy", rows["index"].to_numpy().astype(np.int64))
    np.save(folder / "columns/timestamp.npy", rows["time"].to_numpy())
    np.save(folder / "offsets.npy", np.concatenate([[0], lengths["len"].to_numpy().cumsum()]).astype(np.int64))
    np.save(folder / "split.npy", split)
    words.write_parquet(folder / "vocabulary.parquet")
    columns = {"item_id": {"dtype": "int64", "role": "item"}, "timestamp": {"dtype": "int64", "role": "time"}}
    schema = {"num_items": words.height, "max_session_length": LONGEST, "columns": columns}
    (folder / "schema.json").write_text(json.dumps(schema))
    (folder / "summary.json").write_text(json.dumps({"test_events": test.height, "unseen_test_events": 0}))


def stage(*words: str, environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "pipelines", *words], check=True, env=environment)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("models", nargs="*", default=["gru4rec", "session_knn", "session_popularity", "popularity"])
    parser.add_argument("--set-value", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change params.yaml")
    arguments = parser.parse_args()
    train, test, protocol = SETS[arguments.set]()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = yaml.safe_load((ROOT / "params.yaml").read_text())
        values["evaluate"] |= protocol
        for change in arguments.set_value:
            key, value = change.split("=")
            *sections, last = key.split(".")
            place = values
            for part in sections:
                place = place[part]
            place[last] = yaml.safe_load(value)
        (folder / "params.yaml").write_text(yaml.safe_dump(values))
        write(train, test, folder / "data/etl")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NEXTCLICK_MLRUNS": str(folder / "mlruns")}
        os.chdir(folder)
        for model in arguments.models:
            begin = time.monotonic()
            stage("train", model, environment=environment)
            trained = time.monotonic()
            stage("evaluate", model, environment=environment)
            found = json.loads((folder / f"data/evaluate/{model}/metrics.json").read_text())
            run = json.loads((folder / f"data/train/{model}/run.json").read_text())
            figures[model] = {
                "recall_at_20": found["recall_at_20"],
                "mrr_at_20": found["mrr_at_20"],
                "events_per_s": run["events_per_s"],
                "train_s": trained - begin,
                "evaluate_s": time.monotonic() - trained,
            }
        os.chdir(ROOT)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}"
    print(f"\n{arguments.set}: {machine}\n{'model':20}{'Recall@20':>10}{'MRR@20':>9}{'events/s':>12}{'train s':>9}{'test s':>8}")
    for model, row in figures.items():
        quality = f"{100 * row['recall_at_20']:10.2f}{100 * row['mrr_at_20']:9.2f}"
        print(f"{model:20}{quality}{row['events_per_s']:12,.0f}{row['train_s']:9.1f}{row['evaluate_s']:8.1f}")
    print(json.dumps({"benchmark": f"yoochoose_{arguments.set}", "machine": machine, "figures": figures, "ratios": {}}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
