"""The event columns: one schema for every source, every day, every stage.

A row of `data/events` and `data/validate` is one event. `data/events` has two columns more, for the rows that do not
survive: RAW, the row as it stood in the source, and PARSE_ERROR, what could not be read (null where all could).
"""

from __future__ import annotations

import hashlib

import polars as pl

SESSION = "session_id"
USER = "user_id"
ITEM = "item_id"
ITEM_KEY = "item_key"
EVENT = "event_type"
TIME = "timestamp"
PRICE = "price"
CATEGORY = "category"
BRAND = "brand"
FILE = "source_file"
ROW = "source_row"

RAW = "raw"
PARSE_ERROR = "parse_error"

SCHEMA: dict[str, pl.DataType] = {
    SESSION: pl.String(),  # null allowed where USER is there: etl cuts by inactivity
    USER: pl.String(),  # null allowed
    ITEM: pl.Int64(),  # the source's integer id, or a stable hash of its text (item_key)
    ITEM_KEY: pl.String(),  # the source's own text where ids are not integers, else null
    EVENT: pl.String(),  # view, cart, remove, purchase, or the source's own
    TIME: pl.Datetime("us", "UTC"),
    PRICE: pl.Float64(),  # null allowed
    CATEGORY: pl.String(),  # dotted path, null allowed
    BRAND: pl.String(),  # null allowed
    FILE: pl.String(),  # file name of the source
    ROW: pl.Int64(),  # 1 = first data row of that file
}

RAW_SCHEMA: dict[str, pl.DataType] = {**SCHEMA, RAW: pl.String(), PARSE_ERROR: pl.String()}

UNDATED = "undated"
"""The partition `day=undated` of rows whose time could not be read; validate quarantines all of it."""


def text_hash(text: str) -> int:
    """What stands for a text where only int64 may: 0 .. 2**63 - 1, the same on every machine and in every run.

    The first 63 bits of its BLAKE2b (digest of 8 bytes, big-endian).
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
