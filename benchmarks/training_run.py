"""Runs of benchmarks/training.py and benchmarks/gpu/training.py: a peer's script in a process of its own, and its figures."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).parent / "training_peers"

Row = dict[str, Any]


def run(peer: str, python: str, job: Mapping[str, Any], threads: int) -> dict[str, list[Row]]:
    """What the peer's script said, by kind. SystemExit shows the end of its log."""
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as log:
        file = Path(name) / "job.json"
        file.write_text(json.dumps(job))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        command = [python, "-W", "ignore", str(PEERS / f"{peer}.py"), str(file)]
        process = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)
        log.seek(0)
        if process.returncode:
            raise SystemExit(f"{peer} failed:\n{log.read()[-3000:]}")
    said: dict[str, list[Row]] = {}
    for line in process.stdout.splitlines():
        if line.startswith('{"'):
            for kind, values in json.loads(line).items():
                said.setdefault(kind, []).append(values)
    return said


def row(said: Mapping[str, list[Row]], events: int, threads: int) -> Row:
    """Figures of a training; `curve` has [seconds, CPU seconds, MRR@20] after every epoch that was measured."""
    epochs, done = said["epoch"], said["done"][0]
    last = {
        **epochs[-1],
        **{key: done[key] for key in ("mrr_at_20", "recall_at_20", "predictions", "test_wall_s") if key in done},
    }
    trained = events * len(epochs)
    return {
        "events_per_s": trained / last["train_wall_s"],
        "events_per_cpu_s": trained / last["train_cpu_s"],
        "threads": threads,
        "epochs": len(epochs),
        "train_s": last["train_wall_s"],
        "train_cpu_s": last["train_cpu_s"],
        "imports_s": said["imports"][0]["wall_s"],
        "setup_s": said["setup"][0]["train_wall_s"] if "setup" in said else 0.0,
        "mrr_at_20": last.get("mrr_at_20"),
        "recall_at_20": last.get("recall_at_20"),
        "predictions": last.get("predictions"),
        "peak_rss_mib": done["peak_rss_mib"],
        "sizes": done.get("sizes"),
        "curve": [[one["train_wall_s"], one["train_cpu_s"], one["mrr_at_20"]] for one in epochs if "mrr_at_20" in one],
    }


def reached(curve: list[list[float]], quality: float) -> tuple[float, float] | None:
    """Seconds and CPU seconds at the end of the first epoch with that MRR@20; None if there is none."""
    return next(((wall, cpu) for wall, cpu, mrr in curve if mrr >= quality), None)
