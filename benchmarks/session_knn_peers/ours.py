"""models/session_knn.py, asked as `evaluate` asks it."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch

from models.core.base import Features
from models.core.batch import SessionBatch
from models.session_knn import SessionKNN
from pipelines import metrics


def sessions(items: np.ndarray, times: np.ndarray, offsets: np.ndarray) -> SessionBatch:
    lengths = np.diff(offsets)
    order = np.arange(lengths.max())
    happened = order < lengths[:, None]
    place = (offsets[:-1, None] + order) * happened
    columns = {"timestamp": torch.from_numpy((times[place] * 1e6 * happened).astype(np.int64))}
    return SessionBatch(torch.from_numpy(items[place] * happened), torch.from_numpy(lengths), columns)


def cut(batch: SessionBatch) -> SessionBatch:
    """As wide as its longest session, as `data.batch` has it."""
    return SessionBatch(batch.items[:, : int(batch.lengths.max())].contiguous(), batch.lengths)


@torch.inference_mode()
def main() -> None:
    data, settings = np.load(sys.argv[1]), json.loads(sys.argv[2])
    train, test = (sessions(*(data[f"{part}_{name}"] for name in ("items", "times", "offsets"))) for part in ("train", "test"))
    features = Features(
        num_items=int(data["train_items"].max()), max_session_length=max(train.items.shape[1], test.items.shape[1])
    )
    model = SessionKNN(SessionKNN.Config.model_validate(settings), features)
    begin = time.perf_counter()
    model.fit(train)
    fit_s = time.perf_counter() - begin
    rows = metrics.rows_at_once(model.numbers_per_row(), torch.device("cpu"))
    prefixes, targets = SessionBatch(test.items, test.lengths).prefixes(), test.targets()
    model.scores(cut(next(prefixes.split(rows))))  # what is set up once
    wall_s = cpu_s = 0.0
    ranks = []
    for part, answers in zip(prefixes.split(rows), targets.split(rows), strict=True):
        asked = cut(part)
        cpu, wall = time.process_time(), time.perf_counter()
        scores = model.scores(asked)
        wall_s, cpu_s = wall_s + time.perf_counter() - wall, cpu_s + time.process_time() - cpu
        ranks.append(metrics.ranks(scores, answers))
    found = metrics.summary(torch.cat(ranks))
    figures = {"fit_s": fit_s, "predictions": len(targets), "wall_s": wall_s, "cpu_s": cpu_s}
    figures |= {"predictions_per_s": len(targets) / wall_s, "predictions_per_cpu_s": len(targets) / cpu_s}
    print(json.dumps({**figures, "recall_at_20": found["recall_at_20"], "mrr_at_20": found["mrr_at_20"], "rows_at_once": rows}))


if __name__ == "__main__":
    main()
