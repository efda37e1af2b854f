"""Training on a CUDA device: nextclick's GRU4Rec and SASRec beside GRU4Rec's official code, on the same drawn sessions.

    NEXTCLICK_GRU4REC=<checkout> NEXTCLICK_GRU4REC_PYTHON=<python with numpy < 2, pandas < 3 and torch for CUDA> \\
        python benchmarks/gpu/training.py
    python benchmarks/gpu/training.py --models gru4rec_100 --train compile=true batch_events=65536
    python benchmarks/gpu/training.py --device cpu --events 20000 --epochs 1     a check that the script runs, not a figure

Sessions of 2 to 20 events are drawn with Zipf popularity; the trainer's own steps are timed, a first epoch is not counted. The
official code runs unchanged with cross-entropy, 2,048 samples and several batch sizes, of which the fastest counts; its first
epoch is not counted either. After the timing some steps run under torch.profiler: the share of their time in which a kernel
runs (overlapping ones counted once), and which kernels take it. Where the device is idle for most of the time, Python and the
launches limit; else the first kernels named do. It has not been run on a GPU yet: there is no table.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "benchmarks" / "training_peers")]

import training_limit  # noqa: E402
from counted import Counted, sizes  # noqa: E402
from drawn import LONGEST, draw  # noqa: E402
from training_run import Row, run  # noqa: E402

from models.core import registry  # noqa: E402
from pipelines import params  # noqa: E402
from pipelines.split import TEST, TRAIN  # noqa: E402
from pipelines.stores.sessions import Sessions  # noqa: E402
from pipelines.train.params import TrainParams  # noqa: E402
from pipelines.train.progress import Progress  # noqa: E402
from pipelines.train.validate import validate  # noqa: E402

MODELS: dict[str, tuple[str, Row]] = {
    "gru4rec_100": ("gru4rec", {"hidden_size": 100}),
    "gru4rec_128": ("gru4rec", {"hidden_size": 128}),
    "sasrec_128": ("sasrec", {"hidden_size": 128, "layers": 2}),
}
OFFICIAL_PARAMFILE = "rsc15_xe_shared_100_best.py"
OFFICIAL_BATCHES = (32, 512, 2048)
"""The parameter file's own, and two that suit a large device."""
PROFILED_STEPS = 20
TEST_SHARE = 0.02


def synchronized(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def settings(kind: type[Any], section: str, changes: Row) -> Any:
    values = params.read(ROOT / "params.yaml")
    for part in section.split("."):
        values = values[part]
    return params.validate(section, kind, {**values, **changes})


def measure(name: str, data: Sessions, chosen: argparse.Namespace) -> Row:
    """One of MODELS: its fastest epoch but the first, memory, ranking, what a profile says, and the limit."""
    model_name, zoo = MODELS[name]
    device, kind = data.items.device, registry.find(model_name)
    changes = {"device": device.type, "batch_events": chosen.batch_events, "schedule": "constant", **chosen.train}
    train = settings(TrainParams, "train", {**changes, "max_epochs": chosen.epochs + 1})
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    torch.manual_seed(train.seed)
    config = settings(kind.Config, f"zoo.{model_name}", {**zoo, **chosen.zoo})
    model = kind(config, data.features).to(device)
    model.know(data.counts())
    stepper, rates = Counted(model, data, data.of(TRAIN, at_least=2), train), []
    for epoch in range(train.max_epochs):
        begin = synchronized(device)
        stepper.epoch(epoch, Progress(f"epoch {epoch}", stepper.events))
        rates.append(stepper.events / (synchronized(device) - begin))
        print(f"{name} epoch {epoch}: {rates[-1]:,.0f} events/s{'  (warm-up)' if not epoch else ''}", flush=True)
    figures: Row = {
        "events_per_s": max(rates[1:]),
        "padding_share": 1 - stepper.events * train.max_epochs / stepper.places,
        "peak_memory_mib": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
        "bfloat16": stepper.bfloat16,
        "compile": train.compile,
    }
    work = sizes(model, stepper, train.max_epochs)
    test = data.of(TEST, at_least=2)
    begin = synchronized(device)
    validate(model, data, test)
    figures["rankings_per_s"] = int((data.lengths[test] - 1).sum()) / (synchronized(device) - begin)
    shape = {"rows": int(work["targets_per_step"]), "inner": int(work["hidden_size"]), "columns": int(work["candidates"])}
    rates_here = run("rates", sys.executable, {**shape, "device": device.type}, torch.get_num_threads())["done"][0]
    limit = training_limit.seconds_per_event(work, rates_here)
    figures |= {"limit_events_per_s": 1 / limit["all"], "share_of_limit": figures["events_per_s"] * limit["all"]}
    return {**figures, **profiled(stepper, device), "rates": rates_here}


def profiled(stepper: Counted, device: torch.device) -> Row:
    """Some steps under the profiler. busy_share: time in which at least one kernel runs, of the time they took."""
    stepper.model.train()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as record:
        begin = synchronized(device)
        for part, batch in itertools.islice(stepper.batches(), PROFILED_STEPS):
            stepper.step(batch, part)
        wall_us = 1e6 * (synchronized(device) - begin)
    on_cuda = device.type == "cuda"
    spans = sorted(
        (event.time_range.start, event.time_range.end) for event in record.events() if event.device_type == DeviceType.CUDA
    )
    rows = record.key_averages()
    own = {row.key: row.self_device_time_total if on_cuda else row.self_cpu_time_total for row in rows}
    total = sum(own.values())
    most = sorted(own, key=own.__getitem__, reverse=True)[:5]
    return {
        "busy_share": covered(spans) / wall_us if on_cuda else None,
        "limits": {key[:80]: round(own[key] / total, 3) for key in most},
    }


def covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of spans, in order of their begins."""
    length, reached = 0.0, float("-inf")
    for begin, end in spans:
        length += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return length


def official(data: Sessions, chosen: argparse.Namespace) -> Iterator[tuple[str, Row]]:
    """The official code's batch sizes on the same training events."""
    code, python = (os.environ[key] for key in ("NEXTCLICK_GRU4REC", "NEXTCLICK_GRU4REC_PYTHON"))
    lengths, items = data.lengths.cpu().numpy(), data.items.cpu().numpy()
    session = np.repeat(np.arange(len(lengths)), lengths)
    training = np.repeat((data.split == TRAIN).cpu().numpy(), lengths)
    with tempfile.TemporaryDirectory() as name:
        for part, rows in (("train", training), ("test", ~training)):
            table = np.stack([session[rows], items[rows], np.flatnonzero(rows)], axis=1)
            np.savetxt(Path(name) / part, table, fmt="%d", delimiter="\t", header="SessionId\tItemId\tTime", comments="")
        files = {part: str(Path(name) / part) for part in ("train", "test")}
        for batch in OFFICIAL_BATCHES:
            job = {"code": code, **files, "paramfile": OFFICIAL_PARAMFILE, "evaluate": "never", "weights": None}
            job |= {"settings": {"batch_size": batch, "n_epochs": chosen.epochs + 1}, "device": chosen.device}
            said = run("gru4rec_official", python, job, torch.get_num_threads())
            ends = [0.0, *(one["train_wall_s"] for one in said["epoch"])]
            fastest = min(end - begin for begin, end in itertools.pairwise(ends[1:]))
            peak = said["done"][0]["peak_gpu_mib"]
            yield f"official_{batch}", {"events_per_s": int(training.sum()) / fastest, "peak_memory_mib": peak}


def pair(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    return key, yaml.safe_load(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--batch-events", type=int, default=8192)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train", type=pair, nargs="+", default=[], metavar="KEY=VALUE", help="of params.yaml, section train")
    parser.add_argument("--zoo", type=pair, nargs="+", default=[], metavar="KEY=VALUE", help="of the model's section")
    chosen = parser.parse_args()
    chosen.train, chosen.zoo = dict(chosen.train), dict(chosen.zoo)
    device = torch.device(chosen.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device on this machine", file=sys.stderr)
        return 1
    data = draw(chosen.events, chosen.items, device, TEST_SHARE)
    print(f"{len(data.items):,} events in {len(data.split):,} sessions of at most {LONGEST}, {chosen.items:,} items", flush=True)
    figures = {}
    for name in chosen.models:
        figures[name] = measure(name, data, chosen)
        print(f"{name}: {json.dumps(figures[name])}", flush=True)
    there = all(os.environ.get(key) for key in ("NEXTCLICK_GRU4REC", "NEXTCLICK_GRU4REC_PYTHON"))
    if there:
        for name, found in official(data, chosen):
            figures[name] = found
            print(f"{name}: {json.dumps(found)}", flush=True)

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    machine = f"{name}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}"
    print(f"\n{machine}\n\n| who | events/s | peak memory MiB | device busy | share of the limit | what takes the time |")
    print("|---|---|---|---|---|---|")
    for who, found in figures.items():
        shares = [f"{found[key]:.0%}" if found.get(key) is not None else "" for key in ("busy_share", "share_of_limit")]
        memory = f"{found['peak_memory_mib']:,.0f}" if found["peak_memory_mib"] is not None else ""
        most = "; ".join(f"{key} {share:.0%}" for key, share in found.get("limits", {}).items())
        print(f"| {who} | {found['events_per_s']:,.0f} | {memory} | {' | '.join(shares)} | {most} |")
    theirs = [found["events_per_s"] for who, found in figures.items() if who.startswith("official")]
    ratios = {}
    if theirs and "gru4rec_100" in figures:
        ratios["events_per_s_vs_gru4rec_official"] = round(figures["gru4rec_100"]["events_per_s"] / max(theirs), 2)
    left_out = "none" if there else "GRU4Rec's official code"
    print(f"left out: {left_out}")
    print(json.dumps({"benchmark": "gpu_training", "machine": machine, "figures": figures, "ratios": ratios}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
