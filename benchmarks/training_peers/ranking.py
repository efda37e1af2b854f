"""How many (position, all items) rankings `evaluate` makes in a minute: drawn sessions, an untrained GRU4Rec.

job   items, positions, zoo (what differs from params.yaml), params (that file), device, repeat
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import clock
import torch
from drawn import draw

from models.gru4rec import GRU4Rec, GRU4RecConfig
from pipelines import metrics, params
from pipelines.evaluate import rank
from pipelines.machine import keep_memory
from pipelines.split import TEST

clock.imports_done()
EVENTS_PER_POSITION = 1.25


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    keep_memory()
    device = torch.device(job["device"])
    standard = params.section("zoo.gru4rec", GRU4RecConfig, Path(job["params"]))
    data = draw(round(job["positions"] * EVENTS_PER_POSITION), job["items"], device, test_share=1.0)
    torch.manual_seed(0)
    model = GRU4Rec(standard.model_copy(update=job["zoo"]), data.features).to(device)
    model.fold()  # as the stage does
    chosen, counts = data.of(TEST, at_least=2), torch.ones(job["items"] + 1, dtype=torch.int64, device=device)
    rows, walls, cpus, found = metrics.rows_at_once(model.numbers_per_row(), device), [], [], 0
    for _ in range(job["repeat"]):
        begin = clock.now()
        predictions, _ = rank.rank(model, rank.every_position(data, chosen, rows), counts)
        end = clock.now()
        found = len(predictions.rank)
        walls.append(end[0] - begin[0])
        cpus.append(end[1] - begin[1])
    done = {
        "threads": torch.get_num_threads(),
        "rankings": found,
        "items": job["items"],
        "rankings_per_minute": 60 * found / min(walls),
        "rankings_per_cpu_minute": 60 * found / min(cpus),
    }
    clock.say("done", done)


if __name__ == "__main__":
    main()
