"""The model as one ONNX graph that takes and gives raw item ids: no preprocessing stands between a client and the model.

Shapes  B sessions, L events (features.max_session_length), V = num_items + 1, K answers, D items that may be denied,
        C = K + D + 1 popular items (or all), the last of which is none; X any number.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from models.core.base import SessionModel
from models.core.batch import PADDING, SessionBatch
from pipelines.errors import DataError
from pipelines.register.columns import Columns, inputs
from pipelines.register.lookup import Lookup
from pipelines.register.params import ServeParams
from pipelines.stores.answers import DENIED, EXCLUDE, INPUT, MAX_BATCH, NO_ITEM, OUTPUTS
from pipelines.stores.meanings import Meaning

OPSET = 18
NEVER = float("-inf")
LARGEST_GB = 1.9
"""A protobuf file ends at 2 GB."""


class Served(nn.Module):
    """Raw ids to indices, the model, indices back to raw ids. What it answers is in pipelines/stores/answers.py."""

    raw_ids: Int[Tensor, "V"]
    popular_ids: Int[Tensor, "C"]
    popularity: Float[Tensor, "C"]
    place: Int[Tensor, "V"]

    def __init__(
        self, model: SessionModel, vocabulary: pl.DataFrame, num_answers: int, columns: Columns, serve: ServeParams
    ) -> None:
        super().__init__()
        self.model, self.num_answers, self.columns, self.serve = model, num_answers, columns, serve
        rows = vocabulary.sort("index")
        ids, events = (rows[name].to_numpy() for name in ("item_id", "count"))
        self.lookup = Lookup(ids)
        self.register_buffer("raw_ids", torch.from_numpy(np.append(NO_ITEM, ids).astype(np.int64)))
        best = np.argsort(-events, kind="stable")[: num_answers + serve.max_denied]  # there are K left, whatever is denied
        place = np.full(len(ids) + 1, len(best))  # all others, and padding, have the last place, which is no item's
        place[best + 1] = np.arange(len(best))
        self.register_buffer("popular_ids", torch.from_numpy(np.append(ids[best], NO_ITEM).astype(np.int64)))
        self.register_buffer("popularity", torch.from_numpy(np.append(events[best] / max(1, events.sum()), NEVER)).float())
        self.register_buffer("place", torch.from_numpy(place))

    def forward(
        self,
        item_ids: Int[Tensor, "B L"],
        timestamps: Int[Tensor, "B L"] | None = None,
        event_types: Int[Tensor, "B L"] | None = None,
        *,
        exclude_seen: Int[Tensor, "B 1"],
        denied_item_ids: Int[Tensor, "B D"],
    ) -> tuple[Int[Tensor, "B K"], Float[Tensor, "B K"], Bool[Tensor, "B 1"]]:
        indices_BX = self.lookup(torch.cat([item_ids, denied_item_ids], 1))
        length = item_ids.shape[1]
        batch, fallback = self.batch(indices_BX[:, :length], timestamps, event_types)
        exclude = exclude_seen != 0 if self.serve.exclude_seen else exclude_seen == 1
        denied_BD = indices_BX[:, length:]
        unwanted_BX = torch.cat([torch.where(exclude, batch.items, PADDING), denied_BD], 1)
        scores_BV = self.model.scores(batch).scatter(1, unwanted_BX, NEVER)  # before the best are sought: exact, however many
        best = scores_BV.topk(min(self.num_answers, scores_BV.shape[1]), 1)
        popular = (
            self.popularity.expand(item_ids.shape[0], -1).scatter(1, self.place[denied_BD], NEVER).topk(best.values.shape[1], 1)
        )
        scores_BK = torch.where(fallback, popular.values, best.values)
        ids_BK = torch.where(fallback, self.popular_ids[popular.indices], self.raw_ids[best.indices])
        ids_BK = torch.where(scores_BK == NEVER, NO_ITEM, ids_BK)
        missing = (0, self.num_answers - ids_BK.shape[1])
        return functional.pad(ids_BK, missing, value=NO_ITEM), functional.pad(scores_BK, missing, value=NEVER), fallback

    def widths(self) -> dict[str, int]:
        """Of the graph's inputs, by name, in their order."""
        length = self.model.features.max_session_length
        return {**dict.fromkeys(inputs(self.columns.meanings), length), EXCLUDE: 1, DENIED: self.serve.max_denied}

    def batch(
        self, indices: Int[Tensor, "B L"], timestamps: Int[Tensor, "B L"] | None, event_types: Int[Tensor, "B L"] | None
    ) -> tuple[SessionBatch, Bool[Tensor, "B 1"]]:
        """Known items move together to the left, in order; a session without any gets length 1 and says so."""
        known = indices != PADDING
        length = indices.shape[1]
        place = torch.where(known, known.long().cumsum(1) - 1, length)
        blank = torch.zeros_like(indices[:, :1]).expand(-1, length + 1)
        items, times, types = (
            None if values is None else blank.scatter(1, place, values)[:, :length]
            for values in (indices, timestamps, event_types)
        )
        assert items is not None
        lengths = known.long().sum(1)
        return SessionBatch(items, lengths.clamp(min=1), self.columns(items, times, types)), (lengths == 0)[:, None]


def served(
    model: SessionModel,
    vocabulary: pl.DataFrame,
    num_answers: int,
    meanings: Mapping[str, Meaning],
    serve: ServeParams,
    items: pl.DataFrame | None = None,
) -> Served:
    """DataError if the vocabulary is not the one the model was trained with, or holds the padding id.

    meanings  of the columns that the model reads; items: data/etl/items.parquet, for those of the item
    """
    inputs(meanings)
    known = model.features.num_items
    indices = vocabulary["index"].sort()
    if len(indices) != known or (known and (indices[0], indices[-1]) != (1, known)) or indices.n_unique() != known:
        what = (
            f"the model knows {known:,} items, the vocabulary has {len(indices):,} (indices {indices.min()!r}..{indices.max()!r})"
        )
        raise DataError(what, "data/etl/vocabulary.parquet", "train again on this vocabulary: dvc repro")
    if (vocabulary["item_id"] == NO_ITEM).any():
        raise DataError(f"an item has the id {NO_ITEM}", "data/etl/vocabulary.parquet", "this id pads sessions; rename the item")
    model.fold()  # before its size is looked at: what items are scored by comes on top of what they are read by
    return Served(model, vocabulary, num_answers, Columns(meanings, vocabulary, items), serve).eval()


def export(model: Served, path: Path) -> None:
    """Write the graph, one file, dynamic in B. DataError if it would not fit into one."""
    size_gb = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())) / 1e9
    if size_gb > LARGEST_GB:
        next_step = "choose a smaller model (fewer dimensions or kept sessions) or a shorter vocabulary"
        raise DataError(f"the model has {size_gb:.1f} GB of weights, one ONNX file holds {LARGEST_GB} GB", str(path), next_step)
    widths = model.widths()
    example = {name: torch.full((2, width), NO_ITEM) for name, width in widths.items()}
    example[INPUT][:, 0] = model.raw_ids[1]
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (),
            str(path),
            kwargs=example,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(widths),
            output_names=list(OUTPUTS),
            dynamic_shapes={name: {0: torch.export.Dim("batch")} for name in widths},
            custom_translation_table={torch.ops.aten.div.Tensor_mode: divide, torch.ops.aten.div.Scalar_mode: divide},
            verbose=False,
        )
    quiet.setLevel(level)


def divide(number: Any, by: Any, rounding_mode: str) -> Any:
    """Integers are divided as integers; the exporter's own form goes through float32, which holds 24 of their 64 bits."""
    from onnxscript import opset18

    if not number.dtype.is_integer() or rounding_mode != "trunc":
        raise NotImplementedError(f"torch.div of {number.dtype}, rounded by {rounding_mode}, has no form here")
    return opset18.Div(number, by)


def config(widths: Mapping[str, int], num_answers: int, tags: Mapping[str, str]) -> str:
    """`config.pbtxt` for Triton's onnxruntime backend, in a container and here. The folder's name is the model's.

    widths  of the graph's inputs, by name; all are required: a batch joins requests, and each must bring its row

    No queue policy: in Triton 24.10 each of them made the batcher stall for half a second now and then. Requests gather
    while a batch is computed; a longer wait gave no more of them a second, and one client alone would wait for nobody.
    """
    metric_tags = "\n".join(f'metric_tags {{ key: "{key}" value: "{value}" }}' for key, value in tags.items())
    tensors = {name: f"data_type: TYPE_INT64 dims: [ {width} ]" for name, width in widths.items()}
    read = ", ".join(f'{{ name: "{name}" {tensor} }}' for name, tensor in tensors.items())
    warm = " ".join(f'inputs {{ key: "{name}" value {{ {tensor} zero_data: true }} }}' for name, tensor in tensors.items())
    return f"""backend: "onnxruntime"
max_batch_size: {MAX_BATCH}
input [ {read} ]
output [
  {{ name: "{OUTPUTS[0]}" data_type: TYPE_INT64 dims: [ {num_answers} ] }},
  {{ name: "{OUTPUTS[1]}" data_type: TYPE_FP32 dims: [ {num_answers} ] }},
  {{ name: "{OUTPUTS[2]}" data_type: TYPE_BOOL dims: [ 1 ] }}
]
instance_group [ {{ count: 1 }} ]
dynamic_batching {{ max_queue_delay_microseconds: 100 }}
model_warmup [
  {{ name: "one" batch_size: 1 {warm} }},
  {{ name: "eight" batch_size: 8 {warm} }}
]
{metric_tags}
"""
