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

from pipelines.columns import BRAND, CATEGORY, ITEM, PRICE, SESSION, TIME, USER
from pipelines.etl.events import CODED, Events
from pipelines.etl.sessionize import INDEX
from pipelines.features import FIRST_VALUE, RARE
from pipelines.paths import ETL

Array = npt.NDArray[Any]


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


def write_sessions(
    rows: pl.DataFrame, owners: pl.DataFrame, offsets: Array, parts: Array, vocabulary: pl.DataFrame, read: Events
) -> None:
    """Everything but the model columns; the raw columns they are made of go to WORK."""
    columns, work = ETL / "columns", ETL / "work"
    item = rows[INDEX].to_numpy()
    save(ITEM, item, columns)
    save(TIME, rows[TIME].to_numpy(), columns)
    for name in (ITEM, TIME):
        (work / f"{name}.npy").symlink_to((columns / f"{name}.npy").resolve())
    for name in (PRICE, *CODED):
        save(name, rows[name].fill_null(float("nan")).to_numpy() if name == PRICE else rows[name].to_numpy(), work)
    save("offsets", offsets, ETL)
    save("split", parts, ETL)
    table(vocabulary, "vocabulary")
    table(_items(rows, read, vocabulary.height), "items")
    table(_session_ids(owners, rows[TIME].gather(offsets[:-1]), read), "session_ids")


def _items(rows: pl.DataFrame, read: Events, num_items: int) -> pl.DataFrame:
    """What each item looked like last: category, brand and price in the newest session that knew them."""
    item, out = rows[INDEX].to_numpy(), {}
    for name in (CATEGORY, BRAND):
        latest, code = np.zeros(num_items + 1, np.int32), rows[name].to_numpy()
        latest[item[code > 0]] = code[code > 0]  # numpy keeps the last of several
        codes = pl.Series(latest[1:] - 1)
        out[name] = read.texts[name].gather(codes.set(codes < 0, None))
    latest_price, price = np.full(num_items + 1, np.nan, np.float32), rows[PRICE].to_numpy()
    latest_price[item[~np.isnan(price)]] = price[~np.isnan(price)]
    index = pl.Series(INDEX, np.arange(1, num_items + 1), pl.Int32)
    return pl.DataFrame({INDEX: index, **out, PRICE: pl.Series(latest_price[1:]).fill_nan(None).cast(pl.Float64)})


def _session_ids(owners: pl.DataFrame, start: pl.Series, read: Events) -> pl.DataFrame:
    """session, session_id (null where it was cut by user), user_id (null where it was not read), start."""
    texts: dict[str, pl.Series] = {}
    for name in (SESSION, USER):
        if name in read.texts:
            code = owners[name]
            texts[name] = read.texts[name].gather(code.set(code >= len(read.texts[name]), None))
        else:
            texts[name] = pl.Series([None], dtype=pl.String).new_from_index(0, len(start))
    return pl.DataFrame(
        {"session": pl.int_range(len(start), dtype=pl.Int64, eager=True), **texts, "start": start.cast(pl.Datetime("us", "UTC"))}
    )
