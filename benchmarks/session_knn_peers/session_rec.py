"""rn5l/session-rec, algorithms/knn/vsknn.py and vstan.py, unchanged, asked as its own evaluation asks them.

PYTHONPATH holds its checkout. Its settings are those of ours: weighting div is the linear fall by position, weighting_score
the decay of votes.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

CUTOFF = 20
DECAYS = {"none": "same", "linear": "linear", "reciprocal": "div"}
NEVER = 1e12
"""A lambda so large that nothing falls: the code has no other way to leave out the age."""


def build(settings: dict[str, Any]) -> Any:
    if settings["method"] == "v_sknn":
        from algorithms.knn.vsknn import VMContextKNN

        return VMContextKNN(
            settings["neighbours"],
            sample_size=settings["sample_size"],
            weighting="div",
            weighting_score=DECAYS[settings["decay"]],
            idf_weighting=False,
        )
    from algorithms.knn.vstan import VSKNN_STAN

    return VSKNN_STAN(
        settings["neighbours"],
        sample_size=settings["sample_size"],
        lambda_spw=settings["lambda_spw"],
        lambda_snh=settings["lambda_snh_days"] or NEVER,
        lambda_inh=settings["lambda_inh"],
        lambda_ipw=settings["lambda_ipw"],
        lambda_idf=settings["lambda_idf"],
    )


def main() -> None:
    data, settings = np.load(sys.argv[1]), json.loads(sys.argv[2])
    model = build(settings)
    offsets = data["train_offsets"]
    train = pd.DataFrame(
        {
            "SessionId": np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)),
            "ItemId": data["train_items"],
            "Time": data["train_times"],
        }
    )
    begin = time.perf_counter()
    model.fit(train)
    fit_s = time.perf_counter() - begin
    all_items = train["ItemId"].unique()
    items, times, offsets = (data[f"test_{name}"] for name in ("items", "times", "offsets"))
    wall_s = cpu_s = 0.0
    ranks = []
    for number, (first, end) in enumerate(pairwise(offsets)):
        for place in range(first, end - 1):
            cpu, wall = time.process_time(), time.perf_counter()
            scores = model.predict_next(1_000_000_000 + number, items[place], all_items, timestamp=times[place])
            wall_s, cpu_s = wall_s + time.perf_counter() - wall, cpu_s + time.process_time() - cpu
            found = scores.to_numpy()
            ranks.append(int((found >= found[all_items == items[place + 1]]).sum()))
    rank = np.array(ranks)
    hit = rank <= CUTOFF
    figures = {"fit_s": fit_s, "predictions": len(rank), "wall_s": wall_s, "cpu_s": cpu_s}
    figures |= {"predictions_per_s": len(rank) / wall_s, "predictions_per_cpu_s": len(rank) / cpu_s}
    print(json.dumps({**figures, "recall_at_20": hit.mean(), "mrr_at_20": (hit / rank).mean()}))


if __name__ == "__main__":
    main()
