"""What NVTabular 23.8 needs to run with today's dask, pandas and torch. Import it before any of dask, merlin, nvtabular.

- dask's query planner and its string conversion are off: merlin-core builds its own graphs on plain pandas frames.
- merlin imports torch, tensorflow and tritonclient only to know the names of their dtypes, dask imports scipy.fftpack for
  functions nobody calls here; both can do without, and that halves the import, so they are hidden meanwhile.
- Not used, because of their bugs or their cost (see docs/decisions): list columns, Groupby, ListSlice, Categorify,
  JoinGroupby, to_parquet(partition_on), Workflow.save (cloudpickle).
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

ENVIRONMENT = {"DASK_DATAFRAME__QUERY_PLANNING": "False", "DASK_DATAFRAME__CONVERT_STRING": "False"}
"""What each process needs that computes NVTabular graphs, Dask workers too."""
HIDDEN = ("torch", "tensorflow", "tritonclient", "scipy.fftpack")

os.environ.update(ENVIRONMENT)


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """`import name` raises ImportError inside."""
    kept: dict[str, ModuleType | None] = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(kept)  # type: ignore[arg-type]


@contextmanager
def _without_collector() -> Iterator[None]:
    """Imports make a million lasting objects: looking through them for garbage, then and at exit, costs a CPU second."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


with _without_collector(), _hidden(HIDDEN), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # missing dtype mappings, "CPU mode is experimental"
    import dask
    import nvtabular  # noqa: F401
    import pandas as pd

pd.set_option("mode.copy_on_write", True)  # NVTabular selects columns at every step; without this each selection copies
dask.config.set({"dataframe.query-planning": False, "dataframe.convert-string": False})


def prepare_worker() -> None:
    """For each process of a Dask cluster: importing this module there is all it needs."""
