"""Predictions that a file names: a prefix and the item that followed it (the protocol of many papers)."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import torch

from pipelines.columns import ITEM, ITEM_KEY
from pipelines.errors import DataError, ParamsError
from pipelines.paths import ETL
from pipelines.stores.sessions import Sessions

PREFIX, LABEL = "prefix", "label"


def read(path: str | None, data: Sessions, columns: tuple[str, ...]) -> Sessions:
    """Each row as a session, its label last. An id that the vocabulary lacks becomes num_items + 1: known to no model.

    columns  what the model reads beside the item. ParamsError if it is anything: the file holds items alone.
    """
    if columns:
        where = f"params.yaml: evaluate.protocol = given_prefixes; the model's columns: {', '.join(columns)}"
        next_step = "train the model without columns (and without times), or set evaluate.protocol: every_position"
        raise ParamsError("the model reads columns that given prefixes do not have", where, next_step)
    if path is None:
        what = "evaluate.protocol is given_prefixes, but no file is named"
        raise ParamsError(what, "params.yaml: evaluate.prefixes", f"name a parquet file with the columns {PREFIX} and {LABEL}")
    try:
        rows = pl.read_parquet(Path(path), columns=[PREFIX, LABEL])
    except (FileNotFoundError, pl.exceptions.PolarsError) as error:
        where = f"{path}: {' '.join(str(error).split())[:200]}"
        raise DataError("the given prefixes cannot be read", where, f"a parquet file with {PREFIX} (list) and {LABEL}") from None
    unknown, longest = data.features.num_items + 1, data.features.max_session_length
    events = rows.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
        pl.concat_list(pl.col(PREFIX).list.tail(longest), LABEL).alias(ITEM),
    ).explode(ITEM)
    vocabulary = pl.read_parquet(ETL / "vocabulary.parquet")
    key = ITEM if events.schema[ITEM].is_integer() else ITEM_KEY
    known = vocabulary.select(pl.col(key).cast(events.schema[ITEM]).alias(ITEM), "index")
    joined = events.join(known, on=ITEM, how="left", maintain_order="left").with_columns(pl.col("index").fill_null(unknown))
    lengths = torch.from_numpy(joined.group_by("row", maintain_order=True).len()["len"].to_numpy().astype("int64"))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    device = data.items.device
    items = torch.from_numpy(joined["index"].to_numpy().astype("int64"))
    split = torch.zeros(len(lengths), dtype=torch.int64)
    return Sessions(data.features, items.to(device), offsets.to(device), split.to(device), {})
