"""NVTabular's workflow makes the model columns: fitted on the training events, applied to all, on flat columns.

Each task of the graph is a range of rows of the same memory-mapped files: read it, transform it, write it to its place.
So one graph serves this process and the workers of a Dask cluster alike, and nothing large is ever sent.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.columns import BRAND, CATEGORY, EVENT, ITEM, PRICE, TIME
from pipelines.errors import ServiceError
from pipelines.etl import compat, operators  # compat before dask and nvtabular
from pipelines.features import AGE, CYCLE, FIRST_VALUE

import dask  # isort: skip
import dask.dataframe as dd  # isort: skip
import nvtabular as nvt  # isort: skip
import pandas as pd  # isort: skip
from nvtabular import ops  # isort: skip

CATEGORICAL = (CATEGORY, BRAND, EVENT)
CONTINUOUS = (PRICE, AGE)
RAW: dict[str, type] = {ITEM: np.int32, TIME: np.int64, PRICE: np.float32, **dict.fromkeys(CATEGORICAL, np.int32)}
"""What the workflow reads."""
MADE: dict[str, type] = {
    **dict.fromkeys(CATEGORICAL, np.int32),
    **dict.fromkeys(CONTINUOUS, np.float32),
    **dict.fromkeys(CYCLE, np.float32),
}
"""What it makes."""
SAMPLE = 1_000
"""Events of the first partition: NVTabular transforms it more than once, only to learn the dtypes."""
CONNECT_S = 10
"""How long a Dask scheduler may take to answer."""


@dataclass(frozen=True)
class Fitted:
    """All a workflow has learned: with these and the vocabulary its columns can be made again."""

    means: Mapping[str, float]
    stds: Mapping[str, float]
    kept: Mapping[str, list[tuple[str, int]]]
    rare: Mapping[str, list[tuple[str, int]]]


@dataclass(frozen=True)
class Columns:
    """Where the raw columns lie (RAW, one .npy each) and where the made ones go; absolute, for other processes."""

    raw: Path
    made: Path
    events: int
    gpu: bool

    def load(self, rows: tuple[int, int]) -> Any:
        """Rows as a frame: pandas, or cuDF on a GPU."""
        arrays = {name: np.load(self.raw / f"{name}.npy", mmap_mode="r")[slice(*rows)] for name in RAW}
        if self.gpu:
            import cudf

            return cudf.DataFrame(arrays)
        return pd.DataFrame(arrays, copy=False)

    def create(self) -> None:
        """Empty files for the made columns, so that each task can write its rows."""
        for name, kind in MADE.items():
            np.lib.format.open_memmap(self.made / f"{name}.npy", "w+", kind, (self.events,))

    def store(self, frame: Any, rows: tuple[int, int]) -> int:
        """Written, not mapped: closing a file makes it visible on a shared file system."""
        for name, kind in MADE.items():
            path = self.made / f"{name}.npy"
            start = np.load(path, mmap_mode="r").offset
            with path.open("r+b") as file:
                file.seek(start + rows[0] * np.dtype(kind).itemsize)
                file.write(np.ascontiguousarray(frame[name].to_numpy(), kind).data)
        return rows[1] - rows[0]


def make(
    columns: Columns,
    training_events: int,
    partition_events: int,
    texts: Mapping[str, list[str]],
    first_seen: npt.NDArray[np.int64],
    min_category_support: int,
    scheduler: str | None,
) -> Fitted:
    """Fit on the first `training_events` rows (training sessions come first), make the columns of all rows."""
    lookup = operators.Lookup(texts, min_category_support)
    normalize = ops.Normalize(out_dtype=np.float32)
    workflow = nvt.Workflow(_graph(lookup, normalize, first_seen))
    with _cluster(scheduler) as client:
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # a constant's variance may come out below 0
            warnings.filterwarnings("ignore", message="Initializing an NVTabular Dataset in CPU mode")
            workflow.fit(
                _dataset(
                    columns, _ranges(0, min(SAMPLE, training_events), SAMPLE) + _ranges(SAMPLE, training_events, partition_events)
                )
            )
        stds = _settle(normalize)
        rows = _ranges(0, columns.events, partition_events)
        columns.create()
        shared = dask.delayed(workflow, name=f"workflow-{uuid.uuid4()}", traverse=False)  # sent to each worker once
        tasks = [dask.delayed(_transform)(shared, columns, part) for part in rows]
        done = [future.result() for future in client.compute(tasks)] if client else dask.compute(*tasks, scheduler="synchronous")
        assert sum(done) == columns.events
    return Fitted(dict(normalize.means), stds, lookup.kept, lookup.rare)


def _settle(normalize: Any) -> dict[str, float]:
    """What each column is divided by. A constant one is not divided (1), one without any value becomes 0."""
    stds = {}
    for name, mean in normalize.means.items():
        normalize.means[name] = mean = 0.0 if np.isnan(mean) else mean
        if not normalize.stds[name] > 1e-6 * max(1.0, abs(mean)):
            normalize.stds[name] = 0.0  # NVTabular then subtracts only
        stds[name] = normalize.stds[name] or 1.0
    return stds


def gpu_lacks() -> str:
    """Why NVTabular's GPU mode does not run on this GPU machine; empty if it does."""
    from merlin.core.compat import HAS_GPU, cudf

    if not HAS_GPU or cudf is None:
        return "merlin-core finds no GPU or no cuDF"
    version = tuple(int(part) for part in cudf.__version__.split(".")[:2])
    return f"merlin-core 23.8 does not support cuDF {cudf.__version__} (24.8 and later)" if version >= (24, 8) else ""


def describe(fitted: Fitted, num_items: int) -> dict[str, dict[str, Any]]:
    """The columns as schema.json has them. A categorical one's cardinality counts padding, null, unseen and rare."""
    columns: dict[str, dict[str, Any]] = {
        ITEM: {"dtype": "int32", "role": "item", "cardinality": num_items + 1},
        TIME: {"dtype": "int64", "role": "time"},
    }
    for name, values in fitted.kept.items():
        columns[name] = {"dtype": "int32", "role": "categorical", "cardinality": FIRST_VALUE + len(values)}
    for name in (*CONTINUOUS, *CYCLE):
        columns[name] = {"dtype": "float32", "role": "continuous"}
    for name, mean in fitted.means.items():
        columns[name] |= {"mean": mean, "std": fitted.stds[name], "transform": "(log(1 + x) - mean) / std, null is 0"}
    return columns


def _graph(lookup: operators.Lookup, normalize: Any, first_seen: npt.NDArray[np.int64]) -> Any:
    price = [PRICE] >> ops.LogOp()
    age = [ITEM, TIME] >> operators.ItemAge(first_seen)
    scaled = (price + age) >> normalize >> ops.FillMissing(0)  # an unknown price is the mean price
    return (list(CATEGORICAL) >> lookup) + scaled + ([TIME] >> operators.Cycle())


def _dataset(columns: Columns, ranges: list[tuple[int, int]]) -> Any:
    meta = columns.load((0, 0))
    return nvt.Dataset(dd.from_map(columns.load, ranges, meta=meta, token=uuid.uuid4().hex), cpu=not columns.gpu)


def _ranges(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    return [(low, min(low + step, stop)) for low in range(start, stop, step)]


def _transform(workflow: Any, columns: Columns, rows: tuple[int, int]) -> int:
    return columns.store(workflow.transform(columns.load(rows)), rows)


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """A client of the running cluster, which NVTabular finds by itself; None: all in this process."""
    if address is None:
        yield None
        return
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=True)
    except (OSError, ValueError, TimeoutError) as error:
        raise ServiceError(
            f"the Dask scheduler does not answer: {' '.join(str(error).split())[:200]}",
            f"etl.scheduler={address}",
            "start it (dask scheduler, dask worker), correct the address in params.yaml, or set it to null",
        ) from None
    try:
        if not client.scheduler_info()["workers"]:
            raise ServiceError(
                "the Dask cluster has no workers", f"etl.scheduler={address}", "start workers: dask worker " + address
            )
        try:
            client.run(compat.prepare_worker)
        except ImportError as error:
            raise ServiceError(
                f"a Dask worker cannot run this: {error}",
                f"etl.scheduler={address}",
                "start the workers in the worker's environment, in the project's root",
            ) from None
        yield client
    finally:
        client.close()
