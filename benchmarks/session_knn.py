"""Session kNN side by side: nextclick's tensors and the published Python code (rn5l/session-rec), at the same settings.

    NEXTCLICK_SESSION_REC=path/to/session-rec python benchmarks/session_knn.py
    python benchmarks/session_knn.py --sets clicks --methods v_sknn --sessions 500

The work: every position of the same test sessions is one prediction, all items are scored. Counting (fit) is not in the
time, scoring is, ranking is not. The published code answers one position after the other, as its own evaluation does, on one
core; ours takes as many prefixes at once as `evaluate` does, on one core and on all there are, and the faster counts (threads
wait for each other on a busy machine): hence the figures by CPU second too.
Each runs in a process of its own. Times: `clicks` has its own; of `srgnn`, which carries only an order, a minute is made of
each event. Training and test sessions are cut to their last 50 events, test items that training lacks are left out, for both.

NEXTCLICK_SESSION_REC names a checkout, NEXTCLICK_SESSION_REC_PYTHON an interpreter that has numpy < 2.4, pandas < 3 and
pympler (else this one is taken). NEXTCLICK_DATA: the data sets, else ../shared/data.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("NEXTCLICK_DATA", ROOT.parent / "shared" / "data")).resolve()
SESSION_REC = os.environ.get("NEXTCLICK_SESSION_REC", "")
SESSION_REC_PYTHON = os.environ.get("NEXTCLICK_SESSION_REC_PYTHON", sys.executable)
LONGEST = 50
SHARED = {"neighbours": 200, "sample_size": 1000, "max_sessions": 5_000_000}
METHODS: dict[str, dict[str, Any]] = {
    "v_sknn": {**SHARED, "method": "v_sknn", "idf": "none", "decay": "linear"},
    "vstan": {
        **SHARED,
        "method": "vstan",
        "lambda_spw": 4.0,
        "lambda_snh_days": 5.0,
        "lambda_inh": 4.0,
        "lambda_ipw": 2.0,
        "lambda_idf": 1.0,
    },
}
RATIOS = {"v_sknn": "vs_session_rec", "vstan": "vs_session_rec_vstan"}


def clicks() -> tuple[pl.DataFrame, pl.DataFrame]:
    """session, item, time in seconds: sessions by their start, events in time order."""
    train, test = (
        pl.read_csv(DATA / "yoochoose_clicks_100k" / f"yoochoose-clicks-100k_{name}.txt.gz", separator="\t")
        .sort(pl.col("Time").min().over("SessionId"), "SessionId", "Time", maintain_order=True)
        .select(session="SessionId", item="ItemId", time="Time")
        for name in ("train_full", "test")
    )
    return train, test


def srgnn() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of each test session the longest given prefix and what followed it: the other rows are its shorter prefixes."""
    folder = DATA / "yoochoose1_64_srgnn"
    train = pl.read_parquet(folder / "train_sessions.parquet").select("session", item="items")
    prefixes = pl.read_parquet(folder / "test_prefixes.parquet").sort(pl.col("prefix").list.len(), maintain_order=True)
    longest = prefixes.group_by("test_session", maintain_order=True).last().sort("test_session")
    test = longest.select(
        session=pl.col("test_session").cast(pl.Int32), item=pl.concat_list("prefix", pl.col("label").cast(pl.Int64))
    )
    rows = [part.explode("item", empty_as_null=False) for part in (train, test)]
    return rows[0].with_columns(time=pl.int_range(pl.len()) * 60), rows[1].with_columns(
        time=(pl.int_range(pl.len()) + rows[0].height) * 60
    )


SETS = {"clicks": clicks, "srgnn": srgnn}


def write(name: str, num_sessions: int, file: Path) -> dict[str, int]:
    """The set as arrays, items numbered from 1; of the test, sessions evenly spread over it."""
    train, test = SETS[name]()
    train = train.group_by("session", maintain_order=True).tail(LONGEST)
    words = train.select(pl.col("item").unique(maintain_order=True)).with_row_index("index", offset=1)
    test = test.join(words.select("item"), on="item", how="semi", maintain_order="left")
    test = test.group_by("session", maintain_order=True).tail(LONGEST).filter(pl.len().over("session") > 1)
    sessions = test["session"].unique(maintain_order=True)
    chosen = sessions.gather(np.unique(np.linspace(0, len(sessions) - 1, min(num_sessions, len(sessions))).round().astype(int)))
    test = test.filter(pl.col("session").is_in(chosen.implode()))
    arrays = {}
    for part, rows in (("train", train), ("test", test)):
        known = rows.join(words, on="item", maintain_order="left")
        arrays[f"{part}_items"] = known["index"].to_numpy().astype(np.int64)
        arrays[f"{part}_times"] = known["time"].to_numpy().astype(np.float64)
        lengths = known.group_by("session", maintain_order=True).len()["len"].to_numpy()
        arrays[f"{part}_offsets"] = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
    return {"training_sessions": len(arrays["train_offsets"]) - 1, "items": words.height}


def measure(peer: str, data: Path, settings: dict[str, Any], threads: int) -> dict[str, float]:
    """One process; what it prints last."""
    script = Path(__file__).parent / "session_knn_peers" / f"{peer}.py"
    python = SESSION_REC_PYTHON if peer == "session_rec" else sys.executable
    path = SESSION_REC if peer == "session_rec" else str(ROOT)
    done = subprocess.run(
        [python, "-W", "ignore", str(script), str(data), json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{peer} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {"threads": threads, **found}


def installed() -> bool:
    if not (Path(SESSION_REC) / "algorithms" / "knn" / "vsknn.py").is_file() or not SESSION_REC:
        return False
    needs = "import numpy, pandas, pympler; numpy.in1d"
    return subprocess.run([SESSION_REC_PYTHON, "-W", "ignore", "-c", needs], capture_output=True, check=False).returncode == 0


def machine() -> str:
    gpu = "GPU" if any(Path("/dev").glob("nvidia[0-9]*")) else "no GPU"
    return f"{len(os.sched_getaffinity(0))} cores, CPU, {platform.machine()}, {gpu}"


COLUMNS = ("threads", "fit_s", "predictions", "predictions_per_s", "predictions_per_cpu_s", "recall_at_20", "mrr_at_20")


def table(figures: dict[str, dict[str, dict[str, Any]]]) -> list[str]:
    lines = [f"| set | method | who | {' | '.join(COLUMNS)} |", "|" + "---|" * (len(COLUMNS) + 3)]
    for data, methods in figures.items():
        for method, peers in methods.items():
            for peer, row in peers.items():
                cells = [f"{row[key]:.4f}" if key.endswith("_20") else f"{row[key]:,.{int(key == 'fit_s')}f}" for key in COLUMNS]
                lines.append(f"| {data} | {method} | {peer} | {' | '.join(cells)} |")
    return lines


def ratios(figures: dict[str, dict[str, dict[str, Any]]]) -> dict[str, float]:
    """The least over the sets."""
    out = {}
    for method, name in RATIOS.items():
        rows = [methods[method] for methods in figures.values() if "session_rec" in methods.get(method, {})]
        for figure in ("predictions_per_s", "predictions_per_cpu_s"):
            if rows:
                out[f"{figure}_{name}"] = round(min(row["ours"][figure] / row["session_rec"][figure] for row in rows), 2)
    return out


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    arguments.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments.add_argument("--sessions", type=int, default=1000, help="test sessions")
    arguments.add_argument("--repeat", type=int, default=3, help="runs of ours, the fastest counts; the published code runs once")
    arguments.add_argument("--folder", type=Path, default=ROOT / "var" / "bench" / "session_knn")
    chosen = arguments.parse_args()
    peers = ["ours", *(["session_rec"] if installed() else [])]
    defaults = yaml.safe_load((ROOT / "params.yaml").read_text())["zoo"]["session_knn"]
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for name in chosen.sets:
        data = chosen.folder / f"{name}.npz"
        print(f"{name}: {json.dumps(write(name, chosen.sessions, data))}", flush=True)
        figures[name] = {}
        for method in chosen.methods:
            rows: dict[str, dict[str, Any]] = {}
            for peer in peers:
                settings = {**defaults, **METHODS[method]}
                ways = sorted({1, len(os.sched_getaffinity(0))}) * chosen.repeat if peer == "ours" else [1]
                runs = [measure(peer, data, settings, threads) for threads in ways]
                rows[peer] = max(runs, key=lambda run: run["predictions_per_s"])
                print(f"{name} {method} {peer}: {json.dumps(rows[peer])}", flush=True)
            figures[name][method] = rows
    print(
        f"\n{machine()}; {dt.date.today()}; Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}"
    )
    print(f"settings: {json.dumps({name: METHODS[name] for name in chosen.methods})}\n")
    print("\n".join(table(figures)))
    print(f"left out: {'none' if 'session_rec' in peers else 'session_rec (NEXTCLICK_SESSION_REC: not there or not runnable)'}")
    print(json.dumps({"benchmark": "session_knn", "machine": machine(), "figures": figures, "ratios": ratios(figures)}))


if __name__ == "__main__":
    main()
