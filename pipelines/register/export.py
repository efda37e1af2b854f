"""The model as one ONNX graph that takes and gives raw item ids: no preprocessing stands between a client and the model.

Shapes  B sessions, L events (features.max_session_length), V = num_items + 1, N = num_items, K answers.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from models.core.base import SessionModel
from models.core.batch import PADDING, SessionBatch
from pipelines.errors import DataError
from pipelines.register.columns import Columns, inputs
from pipelines.stores.answers import MAX_BATCH, NO_ITEM, OUTPUTS
from pipelines.stores.meanings import Meaning

OPSET = 18
LARGEST_GB = 1.9
"""A protobuf file ends at 2 GB."""


class Served(nn.Module):
    """Raw ids to indices, the model, indices back to raw ids. What it answers is in pipelines/stores/answers.py."""

    sorted_ids: Int[Tensor, "N"]
    sorted_indices: Int[Tensor, "N"]
    raw_ids: Int[Tensor, "V"]
    popularity: Float[Tensor, "V"]

    def __init__(self, model: SessionModel, vocabulary: pl.DataFrame, num_answers: int, columns: Columns) -> None:
        super().__init__()
        self.model, self.num_answers, self.columns = model, num_answers, columns
        rows = vocabulary.sort("item_id")
        ids, indices = (torch.from_numpy(rows[name].to_numpy().astype(np.int64)) for name in ("item_id", "index"))
        events = torch.from_numpy(rows["count"].to_numpy().astype(np.float64))
        raw_ids = torch.full((len(ids) + 1,), NO_ITEM)
        popularity = torch.zeros(len(ids) + 1, dtype=torch.float64)
        raw_ids[indices], popularity[indices] = ids, events / events.sum().clamp(min=1)
        popularity[PADDING] = float("-inf")
        for name, values in (("sorted_ids", ids), ("sorted_indices", indices), ("raw_ids", raw_ids)):
            self.register_buffer(name, values)
        self.register_buffer("popularity", popularity.float())

    def forward(
        self,
        item_ids: Int[Tensor, "B L"],
        timestamps: Int[Tensor, "B L"] | None = None,
        event_types: Int[Tensor, "B L"] | None = None,
    ) -> tuple[Int[Tensor, "B K"], Float[Tensor, "B K"], Bool[Tensor, "B 1"]]:
        batch, fallback = self.batch(item_ids, timestamps, event_types)
        scores = torch.where(fallback, self.popularity, self.model.scores(batch))
        best = min(self.num_answers, scores.shape[1] - 1)
        top = scores.topk(best, 1)
        missing = (0, self.num_answers - best)
        answers = nn.functional.pad(self.raw_ids[top.indices], missing, value=NO_ITEM)
        return answers, nn.functional.pad(top.values, missing, value=float("-inf")), fallback

    def batch(
        self, item_ids: Int[Tensor, "B L"], timestamps: Int[Tensor, "B L"] | None, event_types: Int[Tensor, "B L"] | None
    ) -> tuple[SessionBatch, Bool[Tensor, "B 1"]]:
        """Known items move together to the left, in order; a session without any gets length 1 and says so."""
        indices = self.lookup(item_ids)
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

    def lookup(self, item_ids: Int[Tensor, "B L"]) -> Int[Tensor, "B L"]:
        """Index of each id, PADDING if it is unknown: a branch-free binary search (aten.searchsorted has no ONNX form)."""
        count = len(self.sorted_ids)
        below = torch.zeros_like(item_ids)  # how many known ids are smaller
        for bit in reversed(range(count.bit_length())):
            candidate = below + 2**bit
            smaller = self.sorted_ids[(candidate - 1).clamp(max=count - 1)] < item_ids
            below = torch.where((candidate <= count) & smaller, candidate, below)
        place = below.clamp(max=count - 1)
        found = (self.sorted_ids[place] == item_ids) & (item_ids != NO_ITEM)
        return torch.where(found, self.sorted_indices[place], PADDING)


def served(
    model: SessionModel,
    vocabulary: pl.DataFrame,
    num_answers: int,
    meanings: Mapping[str, Meaning],
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
    return Served(model, vocabulary, num_answers, Columns(meanings, vocabulary, items)).eval()


def export(model: Served, path: Path) -> None:
    """Write the graph, one file, dynamic in B. DataError if it would not fit into one."""
    size_gb = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())) / 1e9
    if size_gb > LARGEST_GB:
        next_step = "choose a smaller model (fewer dimensions or kept sessions) or a shorter vocabulary"
        raise DataError(f"the model has {size_gb:.1f} GB of weights, one ONNX file holds {LARGEST_GB} GB", str(path), next_step)
    example = torch.full((2, model.model.features.max_session_length), NO_ITEM)
    example[:, 0] = model.sorted_ids[0]
    names = inputs(model.columns.meanings)
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (),
            str(path),
            kwargs={name: example.clone() for name in names},
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(names),
            output_names=list(OUTPUTS),
            dynamic_shapes={name: {0: torch.export.Dim("batch")} for name in names},
            verbose=False,
        )
    quiet.setLevel(level)


def config(names: Sequence[str], length: int, num_answers: int, tags: dict[str, str]) -> str:
    """`config.pbtxt` for Triton's onnxruntime backend, in a container and here. The folder's name is the model's.

    No queue policy: in Triton 24.10 each of them made the batcher stall for half a second now and then.
    """
    metric_tags = "\n".join(f'metric_tags {{ key: "{key}" value: "{value}" }}' for key, value in tags.items())
    tensor = f"data_type: TYPE_INT64 dims: [ {length} ]"
    read = ", ".join(f'{{ name: "{name}" {tensor} }}' for name in names)
    warm = " ".join(f'inputs {{ key: "{name}" value {{ {tensor} zero_data: true }} }}' for name in names)
    return f"""backend: "onnxruntime"
max_batch_size: {MAX_BATCH}
input [ {read} ]
output [
  {{ name: "{OUTPUTS[0]}" data_type: TYPE_INT64 dims: [ {num_answers} ] }},
  {{ name: "{OUTPUTS[1]}" data_type: TYPE_FP32 dims: [ {num_answers} ] }},
  {{ name: "{OUTPUTS[2]}" data_type: TYPE_BOOL dims: [ 1 ] }}
]
instance_group [ {{ count: 1 }} ]
dynamic_batching {{ preferred_batch_size: [ 8, 16, 32 ] max_queue_delay_microseconds: 500 }}
model_warmup [
  {{ name: "one" batch_size: 1 {warm} }},
  {{ name: "eight" batch_size: 8 {warm} }}
]
{metric_tags}
"""
