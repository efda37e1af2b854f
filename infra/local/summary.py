"""What a run ended with, as tables for the terminal: models, decision, answers, pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from pipelines import paths, split
from pipelines.stores.settings import settings

METRICS = ("recall_at_20", "mrr_at_20", "ndcg_at_20", "recall_at_5", "coverage_at_20")


def models(workspace: Path, console: Console) -> None:
    """Every model on the test sessions, best first."""
    rows: list[dict[str, Any]] = []
    for file in sorted((workspace / paths.EVALUATE).glob("*/metrics.json")):
        metrics = json.loads(file.read_text())
        if "mrr_at_20" in metrics:  # else there is no champion, or it could not be measured
            rows.append({"model": file.parent.name, **metrics})
    table = Table(title="models on the test sessions (all items ranked, every position)", title_justify="left")
    for column in ("model", *METRICS):
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in sorted(rows, key=lambda row: -row["mrr_at_20"]):
        table.add_row(row["model"], *(f"{row[metric]:.4f}" for metric in METRICS))
    console.print()
    console.print(table)


def decision(workspace: Path, console: Console) -> None:
    """What the gate said, rule by rule."""
    made = json.loads((workspace / paths.GATE / "decision.json").read_text())
    table = Table(title=f"decision: {made['verdict']}", title_justify="left")
    for column in ("rule", "verdict", "reason"):
        table.add_column(column)
    for rule in made["rules"]:
        table.add_row(rule["rule"], "[green]yes[/]" if rule["passed"] else "[red]no[/]", rule["reason"])
    console.print(table)


def answers(workspace: Path, console: Console, count: int = 3, k: int = 5) -> None:
    """The newest test sessions asked to Triton: what was seen, what it recommends, what really came next."""
    from pipelines.serve.client import Client, Event

    etl = workspace / paths.ETL
    items = pl.read_parquet(etl / "items.parquet")
    vocabulary = pl.read_parquet(etl / "vocabulary.parquet").join(items, on="index", how="left")
    by_index = {row["index"]: row for row in vocabulary.iter_rows(named=True)}
    by_id = {row["item_id"]: row for row in by_index.values()}
    offsets, parts = np.load(etl / "offsets.npy"), np.load(etl / "split.npy")
    column = np.load(etl / "columns" / "item_id.npy", mmap_mode="r")
    times = np.load(etl / "columns" / "timestamp.npy", mmap_mode="r")
    types = np.load(etl / "columns" / "event_type.npy", mmap_mode="r")
    texts = dict(pl.read_parquet(etl / "values/event_type.parquet", columns=["index", "value"]).rows())
    tests = np.flatnonzero((parts == split.TEST) & (np.diff(offsets) >= 4))
    client = Client()
    for session in tests[:: max(1, len(tests) // count)][:count]:
        rows = range(offsets[session], offsets[session + 1])
        seen = [by_index[int(column[row])] for row in rows]
        events = [
            Event(item["item_id"], int(times[row]), texts.get(int(types[row]), "unknown"))
            for item, row in zip(seen, rows, strict=True)
        ]
        (answer,) = client.recommend([events[:-1]], k=k)
        title = f"Triton, version {answer.version}: session {session}"
        table = Table(title=title, title_justify="left")
        for heading in ("", "item", "category", "brand", "price", "score"):
            table.add_column(heading, justify="right" if heading in ("price", "score") else "left")
        for row in seen[-5:-1]:
            table.add_row("clicked", *described(row), "")
        for item, score in zip(answer.items, answer.scores, strict=True):
            hit = " (came next)" if item == seen[-1]["item_id"] else ""
            table.add_row(f"recommended{hit}", *described(by_id.get(item, {"item_id": item})), f"{score:.2f}")
        table.add_row("came next", *described(seen[-1]), "")
        console.print(table)


def described(row: dict[str, Any]) -> tuple[str, str, str, str]:
    price = row.get("price")
    shown = "-" if price is None else f"{price:,.2f}"
    return str(row.get("item_key") or row["item_id"]), row.get("category") or "-", row.get("brand") or "-", shown


def pages(run: str, workspace: Path, passwords: dict[str, str], console: Console) -> None:
    """Where to look, and how to log in."""
    s = settings()
    page = f"{s.airflow_url}/pages/{workspace.name}/data"
    version = json.loads((workspace / paths.REGISTER / "version.json").read_text())
    rows = {
        "Airflow, this run": f"{s.airflow_url}/dags/retrain/runs/{run}",
        "  log in as": f"admin / {passwords['admin']}   (all users: {s.var / 'airflow' / 'passwords.json'})",
        "Data Docs": f"{page}/docs/index.html",
        "Decision": f"{page}/gate/decision.md",
        "MLflow, model version": version["mlflow_url"],
        "Triton": f"http://{s.triton_url}/v2/models/{version['model']}",
        "Triton's metrics": f"http://127.0.0.1:{s.triton_metrics_port}/metrics",
        "workspace of the run": str(workspace),
    }
    console.print("\npages")
    for name, value in rows.items():
        console.print(f"  {name:22} {value}")
    console.print("\n`make status` shows the services, `make down` stops them")
