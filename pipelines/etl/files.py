"""The files of data/etl: plain arrays, parquet and JSON; the same input gives the same bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.etl.indices import FIRST_VALUE, RARE
from pipelines.paths import ETL


def empty_folder(folder: Path = ETL) -> None:
    """No file of an earlier run stays."""
    if folder.exists():
        shutil.rmtree(folder)
    for part in ("columns", "values", "work"):
        (folder / part).mkdir(parents=True)


def remove_work(folder: Path = ETL) -> None:
    """The raw columns, once the model columns are made of them."""
    shutil.rmtree(folder / "work")


def save(name: str, array: npt.NDArray[Any], folder: Path) -> None:
    np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)


def table(frame: pl.DataFrame, name: str) -> None:
    frame.write_parquet(ETL / f"{name}.parquet", compression="lz4")


def document(content: Mapping[str, Any], name: str) -> None:
    (ETL / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_values(column: str, kept: list[tuple[str, int]], rare: list[tuple[str, int]]) -> None:
    """index, value, count (training events); rare values share one index."""
    frame = pl.DataFrame(
        {
            "index": [*range(FIRST_VALUE, FIRST_VALUE + len(kept)), *([RARE] * len(rare))],
            "value": [text for text, _ in kept + rare],
            "count": [count for _, count in kept + rare],
        },
        schema={"index": pl.Int32, "value": pl.String, "count": pl.Int64},
    )
    table(frame, f"values/{column}")
