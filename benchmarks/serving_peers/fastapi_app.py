"""FastAPI in front of ONNX Runtime, as it is written by hand: one session a request, JSON in, JSON out, the same graph.

MODEL=model.onnx uvicorn --app-dir benchmarks/serving_peers fastapi_app:app --workers 1
"""

from __future__ import annotations

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
WIDTHS = {one.name: one.shape[1] for one in session.get_inputs()}
app = FastAPI()


class Asked(BaseModel):
    item_ids: list[int]


class Answer(BaseModel):
    next_item_ids: list[int]
    scores: list[float]
    fallback: bool


@app.post("/recommend")
async def recommend(asked: Asked) -> Answer:
    feeds = {name: np.full((1, width), -1, dtype=np.int64) for name, width in WIDTHS.items()}
    recent = asked.item_ids[-WIDTHS["item_ids"] :]
    feeds["item_ids"][0, : len(recent)] = recent
    ids, scores, fallback = session.run(None, feeds)
    return Answer(next_item_ids=ids[0].tolist(), scores=scores[0].tolist(), fallback=bool(fallback[0, 0]))
