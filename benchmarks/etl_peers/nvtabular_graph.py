# ruff: noqa: E402  the settings must stand before the imports
"""NVTabular's own session graph, as the Transformers4Rec tutorials write it: Categorify, LambdaOp, LogOp, Normalize,
Groupby to lists, ListSlice; fitted on the training days.

It is given what helps it: day files that hold whole sessions (Groupby sees one partition at a time), and the first-seen
table by a pandas groupby (JoinGroupby, its own way, costs more).
"""

import json
import os
import sys
import warnings
from pathlib import Path

os.environ |= {"DASK_DATAFRAME__QUERY_PLANNING": "False", "DASK_DATAFRAME__CONVERT_STRING": "False"}
warnings.filterwarnings("ignore")

import clock
import numpy as np
import nvtabular as nvt
import pandas as pd
from nvtabular import ops

clock.imports_done()

days, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
files = [str(file) for file in sorted(days.glob("day=*/events.parquet"))]
splits = {"train": files[:-3], "valid": files[-3:-2], "test": files[-2:]}
TEXTS = ["category", "brand", "event_type"]
DAY_NS = 86_400_000_000_000


def nanoseconds(column):
    return column.astype("datetime64[ns, UTC]").astype(np.int64)


seen = pd.concat([pd.read_parquet(file, columns=["item_id", "timestamp"], partitioning=None) for file in splits["train"]])
first_seen = nanoseconds(seen["timestamp"]).groupby(seen["item_id"]).min().rename("first_seen").reset_index()


class ItemRecency(nvt.ops.Operator):
    """As in the tutorials: the days since an item was first seen."""

    def transform(self, col_selector, df):
        return pd.DataFrame({"item_age": (nanoseconds(df["timestamp"]) - df["first_seen"]) / DAY_NS})

    def column_mapping(self, col_selector):
        return {"item_age": list(col_selector.names)}

    @property
    def output_dtype(self):
        return np.float64


wanted = ["session_id", "item_id", "timestamp", "price", *TEXTS] >> ops.Filter(
    f=lambda df: df[df["event_type"].isin(["view", "cart", "purchase"])].reset_index(drop=True)
)
joined = wanted >> ops.JoinExternal(first_seen, on=["item_id"])
categories = joined["item_id", "category", "brand", "event_type"] >> ops.Categorify(out_path=str(out / "categories"))
price = joined["price"] >> ops.LogOp() >> ops.Normalize(out_dtype=np.float32)
age = joined["timestamp", "first_seen"] >> ItemRecency() >> ops.LogOp() >> ops.Normalize(out_dtype=np.float32)


def circle(name, function, period, value):
    return (
        joined["timestamp"]
        >> ops.LambdaOp(lambda col: function(value(col) * (2 * np.pi / period)).astype(np.float32), dtype=np.float32)
        >> ops.Rename(name=name)
    )


def second_of_day(col):
    return nanoseconds(col) // 1_000_000_000 % 86_400


def weekday(col):
    return col.dt.weekday


cycles = (
    circle("hour_sin", np.sin, 86_400, second_of_day)
    + circle("hour_cos", np.cos, 86_400, second_of_day)
    + circle("weekday_sin", np.sin, 7, weekday)
    + circle("weekday_cos", np.cos, 7, weekday)
)
time = joined["timestamp"] >> ops.LambdaOp(nanoseconds, dtype=np.int64) >> ops.Rename(name="ts")
LISTS = ["item_id", *TEXTS, "price", "item_age", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos", "ts"]
grouped = (joined["session_id"] + categories + price + age + cycles + time) >> ops.Groupby(
    groupby_cols=["session_id"],
    sort_cols=["ts"],
    aggs={**{n: ["list"] for n in LISTS}, "item_id": ["list", "count"]},
    name_sep="-",
)
sliced = grouped[[f"{name}-list" for name in LISTS]] >> ops.ListSlice(-20)
graph = (sliced + grouped["session_id", "item_id-count"]) >> ops.Filter(f=lambda df: df[df["item_id-count"] >= 2])
workflow = nvt.Workflow(graph)
workflow.fit(nvt.Dataset(splits["train"], engine="parquet", cpu=True))
for name, part in splits.items():
    workflow.transform(nvt.Dataset(part, engine="parquet", cpu=True)).to_parquet(str(out / name))
norms = [node.op for node in nvt.graph.node.iter_nodes([workflow.output_node]) if isinstance(node.op, ops.Normalize)]
stats = {name: (op.means[name], op.stds[name]) for op in norms for name in op.means}
(out / "stats.json").write_text(json.dumps(stats))
