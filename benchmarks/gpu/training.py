"""Training speed of GRU4Rec on a CUDA device: events/s, peak memory, share of padding, time of ranking.

    python benchmarks/gpu/training.py
    python benchmarks/gpu/training.py --items 50000 --hidden-size 256 --batch-events 16384
    python benchmarks/gpu/training.py --device cpu --events 50000     a check that the script runs, not a figure

Sessions are drawn with Zipf popularity; the trainer's own steps are timed, the first epoch is not counted.
It has not been run on a GPU yet: there is no table.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.core.base import Features
from models.gru4rec import GRU4Rec, GRU4RecConfig
from pipelines import params
from pipelines.split import TRAIN, VALID
from pipelines.stores.sessions import Sessions
from pipelines.train.params import TrainParams
from pipelines.train.progress import Progress
from pipelines.train.steps import Stepper
from pipelines.train.validate import validate

LONGEST = 20
PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def draw(events: int, items: int, device: torch.device) -> Sessions:
    """Sessions of 2 to 20 events, their lengths geometric with mean 5; the last 2 % validate."""
    random = torch.Generator().manual_seed(0)
    lengths = torch.empty(events // 5).geometric_(0.25, generator=random).long().clamp(max=LONGEST - 1) + 1
    popularity = 1 / torch.arange(1, items + 1, dtype=torch.float64)
    drawn = torch.rand(int(lengths.sum()), generator=random, dtype=torch.float64) * popularity.sum()
    indices = torch.searchsorted(popularity.cumsum(0), drawn).clamp(max=items - 1) + 1
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    split = torch.full_like(lengths, TRAIN)
    split[-max(1, len(lengths) // 50) :] = VALID
    features = Features(num_items=items, max_session_length=LONGEST)
    return Sessions(features, indices.to(device), offsets.to(device), split.to(device), {})


def synchronized(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--hidden-size", type=int, default=100)
    parser.add_argument("--batch-events", type=int, default=8192)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device on this machine", file=sys.stderr)
        return 1

    data = draw(arguments.events, arguments.items, device)
    standard = params.section("zoo.gru4rec", GRU4RecConfig, PARAMS)
    config = standard.model_copy(update={"hidden_size": arguments.hidden_size})
    train = params.section("train", TrainParams, PARAMS).model_copy(
        update={
            "device": "cuda" if device.type == "cuda" else "cpu",
            "batch_events": arguments.batch_events,
            "max_epochs": arguments.epochs + 1,
            "schedule": "constant",
        }
    )
    torch.manual_seed(1)
    model, sessions = GRU4Rec(config, data.features).to(device), data.of(TRAIN, at_least=2)
    stepper = Stepper(model, data, sessions, train)
    rates = []
    for epoch in range(train.max_epochs):
        begin = synchronized(device)
        stepper.epoch(epoch, Progress(f"epoch {epoch}", stepper.events))
        rates.append(stepper.events / (synchronized(device) - begin))
        print(f"epoch {epoch}: {rates[-1]:,.0f} events/s{'  (warm-up)' if not epoch else ''}", flush=True)
    valid = data.of(VALID, at_least=2)
    begin = synchronized(device)
    validate(model, data, valid)
    rankings = int((data.lengths[valid] - 1).sum()) / (synchronized(device) - begin)

    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else platform.processor() or platform.machine()
    machine = f"{name}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}"
    figures = {
        "events_per_s": max(rates[1:]),
        "rankings_per_s": rankings,
        "padding_share": 1 - stepper.events * train.max_epochs / stepper.places,
        "peak_memory_mib": torch.cuda.max_memory_allocated(device) / 2**20 if cuda else None,
        "bfloat16": stepper.bfloat16,
    }
    print(f"{machine}: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    print(json.dumps({"benchmark": "gpu_training", "machine": machine, "figures": figures, "ratios": {}}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
