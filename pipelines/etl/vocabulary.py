"""The item vocabulary: it only grows, an item keeps its index for ever, and every index leads back to its item."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipelines.columns import ITEM, ITEM_KEY, TIME
from pipelines.errors import DataError
from pipelines.etl.params import EtlParams
from pipelines.paths import KNOWN

INDEX, FIRST_SEEN, COUNT = "index", "first_seen", "count"
SCHEMA: dict[str, pl.DataType] = {
    ITEM: pl.Int64(),
    ITEM_KEY: pl.String(),
    INDEX: pl.Int32(),
    FIRST_SEEN: pl.Datetime("us", "UTC"),
    COUNT: pl.Int64(),
}


def read_known(path: Path = KNOWN) -> pl.DataFrame:
    """The vocabulary a run starts from; no rows if the file is absent. DataError if it is no vocabulary."""
    if not path.exists():
        return pl.DataFrame(schema=SCHEMA)
    restore = "restore the champion's vocabulary, or delete the file to start a new one (no old index is then valid)"
    try:
        known = pl.read_parquet(path)
        known = known.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()).sort(INDEX)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"the known vocabulary cannot be read: {' '.join(str(error).split())[:200]}", str(path), restore
        ) from None
    wrong = known.with_row_index("row").filter((pl.col(INDEX) != pl.col("row") + 1) | pl.col(INDEX).is_null())
    if len(wrong):
        seen, row = wrong.select(INDEX, "row").row(0)
        raise DataError(
            f"the known vocabulary has a gap or a repeated index: {seen} where {row + 1} must stand",
            str(path),
            restore,
        )
    twice = known.filter(pl.col(ITEM).is_duplicated() | pl.col(ITEM).is_null())
    if len(twice):
        item = twice[ITEM].to_list()[0]
        indices = twice.filter(pl.col(ITEM).eq_missing(item))[INDEX].to_list()
        raise DataError(f"the known vocabulary gives item {item} the indices {indices}", str(path), restore)
    return known


def grow(known: pl.DataFrame, training: pl.LazyFrame, keys: pl.DataFrame | None, etl: EtlParams) -> pl.DataFrame:
    """Known items as they are, then the new ones with enough support, by first appearance and id; COUNT is their support.

    training  ITEM, TIME (int64 us) of the training events
    keys      ITEM, ITEM_KEY where the source's ids are texts
    DataError where `keys` and `known` give an item different texts, or nothing reaches the support.
    """
    items = training.group_by(ITEM).agg(pl.len().cast(pl.Int64).alias(COUNT), pl.col(TIME).min().alias(FIRST_SEEN)).collect()
    fresh = (
        items.join(known, on=ITEM, how="anti")
        .filter(pl.col(COUNT) >= etl.min_item_support)
        .sort(FIRST_SEEN, ITEM)
        .with_row_index(INDEX, offset=known.height + 1)
    )
    if fresh.is_empty() and known.is_empty():
        most = max(items[COUNT].to_list(), default=0)
        raise DataError(
            f"no item reaches the minimum support: {items.height:,} items, at most {most} training events each",
            f"etl.min_item_support={etl.min_item_support}",
            f"lower etl.min_item_support in params.yaml to {most} or less, or give more days",
        )
    fresh = fresh.with_columns(pl.col(FIRST_SEEN).cast(SCHEMA[FIRST_SEEN]))
    texts = pl.DataFrame(schema={ITEM: pl.Int64, ITEM_KEY: pl.String}) if keys is None else keys
    _agree(known, texts, items)
    fresh = fresh.join(texts, on=ITEM, how="left", maintain_order="left").select(pl.col(n).cast(k) for n, k in SCHEMA.items())
    return pl.concat([known.with_columns(pl.lit(0, pl.Int64).alias(COUNT)), fresh])


def _agree(known: pl.DataFrame, texts: pl.DataFrame, items: pl.DataFrame) -> None:
    """Known texts and the window's are the same. An item that had no text and now has one is another item."""
    seen = items.join(texts, on=ITEM, how="left").rename({ITEM_KEY: "now"})
    other = known.join(seen, on=ITEM).filter(~pl.col(ITEM_KEY).eq_missing(pl.col("now"))).sort(INDEX)
    if len(other):
        item, was, now = other.select(ITEM, ITEM_KEY, "now").row(0)
        raise DataError(
            f"{len(other):,} items of the known vocabulary are other items here: {item} was {was!r}, is {now!r}",
            str(KNOWN),
            "this vocabulary belongs to another source: remove it, or set events.source back",
        )
