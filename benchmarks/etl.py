"""The ETL side by side: nextclick's stage, NVTabular's own session graph, a Polars script, a flat pandas script.

    python benchmarks/etl.py --events 1000000 5000000
    python benchmarks/etl.py --events 20000000 --peers ours polars_script

The work: REES46-like day files become sessions of at least 2 events, their last 20; items, categories, brands and event
types become indices; log price and item age (log days since first seen) are normalised by the training days' statistics;
the time becomes sine and cosine of hour and weekday; sessions are split by days; the result is on disk. No repeats are
dropped and there is no minimum support, since NVTabular's graph has no operator for either.

Each runs in a process of its own; CPU is user + system time with children, "net" is without imports; best of --repeat
runs (NVTabular's graph runs once). Outputs are compared first, event by event, on raw ids and values; normalised columns
after undoing the normalisation, since the graph must normalise before it knows which sessions are too short.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import etl_data
from etl_peers import outputs

ROOT = Path(__file__).resolve().parents[1]
PEERS = {
    "ours": (),
    "polars_script": ("polars",),
    "pandas_flat": ("pandas", "pyarrow"),
    "nvtabular_graph": ("nvtabular", "dask"),
}
RATIOS = {"nvtabular_graph": "cpu_vs_nvtabular_graph", "polars_script": "cpu_vs_polars", "pandas_flat": "cpu_vs_pandas_flat"}
PACKAGES = ("polars", "nvtabular", "dask", "pandas", "numpy", "pyarrow")


def measure(peer: str, days: Path, out: Path) -> dict[str, float]:
    """One run in a fresh process; seconds and MiB."""
    shutil.rmtree(out, ignore_errors=True)
    script = Path(__file__).parent / "etl_peers" / f"{peer}.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begin = time.time()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script), str(days), str(out)], stdout=log, stderr=log, env=environment
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.time() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read()
    if process.returncode:
        raise SystemExit(f"{peer} failed:\n{said[-3000:]}")
    imports = next(json.loads(line) for line in said.splitlines() if line.startswith('{"imports_cpu_s"'))
    cpu = used.ru_utime + used.ru_stime
    return {
        "cpu_s": round(cpu, 2),
        "net_cpu_s": round(cpu - imports["imports_cpu_s"], 2),
        "wall_s": round(wall, 2),
        "net_wall_s": round(begin + wall - imports["imports_done"], 2),
        "peak_rss_mib": round(used.ru_maxrss / 1024),
    }


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    """The least of each figure; of memory the most."""
    return {key: (max if key == "peak_rss_mib" else min)(run[key] for run in runs) for key in runs[0]}


def compare(peer: str, one: Path, other: Path) -> str:
    """What was compared. SystemExit names the first difference."""
    ours, theirs = outputs.read("ours", one), outputs.read(peer, other)
    wrong = outputs.difference(ours, theirs)
    if wrong:
        raise SystemExit(f"ours and {peer} differ: {wrong}")
    return f"ours and {peer}: the same {ours.height:,} events in {ours['session_id'].n_unique():,} sessions, {ours.width} columns"


def installed(peer: str) -> bool:
    try:
        return all(importlib.metadata.version(package) for package in PEERS[peer])
    except importlib.metadata.PackageNotFoundError:
        return False


def machine() -> str:
    gpu = "GPU" if any(Path("/dev").glob("nvidia[0-9]*")) else "no GPU"
    return f"{len(os.sched_getaffinity(0))} cores, CPU, {platform.machine()}, {gpu}"


def versions() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def table(figures: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    head = (
        "| events | who | CPU s | CPU s, net of imports | wall s | wall s, net | peak RSS MiB | CPU vs ours | net CPU vs ours |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    for events, peers in figures.items():
        for peer, row in peers.items():
            ratios = [f"{row[key] / peers['ours'][key]:.1f}x" for key in ("cpu_s", "net_cpu_s")]
            lines.append(
                f"| {int(events):,} | {peer} | " + " | ".join(f"{v:,.1f}" for v in row.values()) + f" | {' | '.join(ratios)} |"
            )
    return lines


def main() -> None:
    arguments = argparse.ArgumentParser(description="the ETL side by side")
    arguments.add_argument("--events", type=int, nargs="+", default=[1_000_000])
    arguments.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=ROOT / "var" / "bench" / "etl", help="data and outputs; kept")
    arguments.add_argument("--reuse", nargs="+", choices=PEERS, default=[], help="figures and outputs of an earlier run here")
    chosen = arguments.parse_args()
    peers = ["ours", *(peer for peer in PEERS if peer in chosen.peers and peer != "ours" and installed(peer))]
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for events in chosen.events:
        folder = chosen.folder.resolve() / str(events)
        days = folder / "days"
        if not (days / "done").exists():
            shutil.rmtree(days, ignore_errors=True)
            print(f"generating {events:,} events", flush=True)
            etl_data.generate(days, events)
            (days / "done").touch()
        rows: dict[str, dict[str, float]] = {}
        for peer in peers:
            kept = folder / f"{peer}.json"
            if peer in chosen.reuse and kept.exists():
                rows[peer] = json.loads(kept.read_text())
            else:
                times = 1 if peer == "nvtabular_graph" else chosen.repeat
                rows[peer] = best([measure(peer, days, folder / peer) for _ in range(times)])
                kept.write_text(json.dumps(rows[peer]))
            print(f"{events:,} {peer}: {json.dumps(rows[peer])}", flush=True)
            if peer != "ours":
                print(compare(peer, folder / "ours", folder / peer), flush=True)
        figures[str(events)] = rows
    print(f"\n{machine()}; {dt.date.today()}; Python {platform.python_version()}, {versions()}; best of {chosen.repeat}\n")
    print("\n".join(table(figures)))
    if chosen.reuse:
        print(f"figures of an earlier run on the same data: {', '.join(chosen.reuse)}")
    left_out = [peer for peer in PEERS if peer not in peers]
    print(f"left out: {', '.join(left_out) or 'none'}")
    print(json.dumps({"benchmark": "etl", "machine": machine(), "figures": figures, "ratios": ratios(figures)}))


def ratios(figures: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    """At the largest size all peers ran at; with imports, and `_net` without."""
    out: dict[str, Any] = {}
    for peer, name in RATIOS.items():
        sizes = [events for events, rows in figures.items() if peer in rows]
        if sizes:
            rows = figures[max(sizes, key=int)]
            out[name] = round(rows[peer]["cpu_s"] / rows["ours"]["cpu_s"], 2)
            out[f"{name}_net"] = round(rows[peer]["net_cpu_s"] / rows["ours"]["net_cpu_s"], 2)
    return out


if __name__ == "__main__":
    main()
