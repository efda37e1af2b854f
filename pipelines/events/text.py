"""Blocks of bytes become frames of text: one row per line, the line's text kept, its fields split.

A row is a line; quotes round a field are understood, a line end inside quotes is not.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

import polars as pl

from pipelines.columns import FILE, PARSE_ERROR, RAW, ROW
from pipelines.errors import DataError
from pipelines.events import files
from pipelines.events.files import Input
from pipelines.events.layout import Layout
from pipelines.events.repaired import Repaired

DAMAGED = "not UTF-8"


def frames(file: Input, layout: Layout, batch_bytes: int, repaired: Repaired) -> Iterator[pl.DataFrame]:
    """Frames of text: the source's columns, and FILE, ROW, RAW, PARSE_ERROR. DataError if there is no row."""
    if file.kind == "parquet":
        found = _parquet(file, layout, batch_bytes, repaired)
    elif file.kind == "jsonl":
        found = _jsonl(file, layout, batch_bytes, repaired)
    else:
        found = _delimited(file, layout, batch_bytes, repaired)
    empty = True
    for frame in found:
        empty = False
        yield frame
    if empty:
        raise DataError(
            "the file has a header and no rows" if file.kind == "text" else "the file has no rows",
            file.name,
            "fetch it again, or take it out of data/raw",
        )


def _delimited(file: Input, layout: Layout, batch_bytes: int, repaired: Repaired) -> Iterator[pl.DataFrame]:
    names = files.header(file, layout.separator)
    files.check_columns(file, names, layout)
    for lines, ended in _lines(file, batch_bytes, repaired):
        yield _split(lines, names, layout.separator, ended)


def _jsonl(file: Input, layout: Layout, batch_bytes: int, repaired: Repaired) -> Iterator[pl.DataFrame]:
    for first, (lines, _) in enumerate(_lines(file, batch_bytes, repaired)):
        valid = pl.col(RAW).str.json_path_match("$").is_not_null()
        fields = [pl.col(RAW).str.json_path_match(f"$.{name}").alias(name) for name in dict.fromkeys(layout.columns.values())]
        frame = lines.with_columns(
            *fields, pl.when(~valid).then(pl.coalesce(PARSE_ERROR, pl.lit("not JSON"))).otherwise(PARSE_ERROR).alias(PARSE_ERROR)
        )
        absent = [name for name in layout.columns.values() if frame[name].null_count() == len(frame)]
        if first == 0 and absent and len(frame) > 1:
            needed = [layout.columns[ours] for ours in ("item_id", "timestamp") if layout.columns[ours] in absent]
            if needed:
                raise DataError(
                    f"missing column{'s' * (len(needed) > 1)}: {', '.join(needed)}",
                    f"{file.name}, row 1: {frame[RAW][0][:200]}",
                    f"expected: {', '.join(layout.expected)}; set events.mapped to the names in the file",
                )
        yield frame


def _lines(file: Input, batch_bytes: int, repaired: Repaired) -> Iterator[tuple[pl.DataFrame, bool]]:
    """FILE, ROW, RAW, PARSE_ERROR of every line, mended ones in place of the originals."""
    row = 1
    for block, ended in files.rows(file, batch_bytes):
        texts, damaged = _decoded(block)
        if damaged and len(damaged) > max(1, len(texts) // 2):
            raise DataError(
                f"the file is not UTF-8: {len(damaged)} of the {len(texts)} rows read at once are not",
                f"{file.name}, first in row {row + damaged[0]}: {texts[damaged[0]][:120]!r}",
                "convert it to UTF-8, for instance: iconv -f LATIN1 -t UTF-8",
            )
        error = pl.Series(PARSE_ERROR, [None], dtype=pl.String).new_from_index(0, len(texts))
        if damaged:
            error = error.scatter(damaged, [f"{DAMAGED}: {texts[i][:80]!r}" for i in damaged])
        frame = pl.DataFrame({RAW: texts, PARSE_ERROR: error}).with_columns(
            pl.col(RAW).str.strip_suffix("\r"),
            pl.lit(file.name).alias(FILE),
            (pl.int_range(pl.len()) + row).cast(pl.Int64).alias(ROW),
        )
        row += len(texts)
        yield repaired.lines(frame), ended


def _decoded(block: bytes) -> tuple[pl.Series, list[int]]:
    """The lines of a block, and the positions of those that are not UTF-8 (their bad bytes replaced)."""
    try:
        text = block.decode("utf-8")
        damaged: list[int] = []
    except UnicodeDecodeError:
        lines = block.split(b"\n")
        damaged = [i for i, line in enumerate(lines) if not _is_utf8(line)]
        text = block.decode("utf-8", errors="replace")
    return pl.Series(RAW, [text]).str.split("\n").explode(empty_as_null=True).fill_null(""), damaged


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _split(lines: pl.DataFrame, names: list[str], separator: str, ended: bool) -> pl.DataFrame:
    """The fields of each line by name. A wrong number of fields is a parse error, and no field is believed."""
    wide = len(names)
    fields = pl.col(RAW).str.split_exact(separator, wide - 1).struct.rename_fields(names).alias("fields")
    count = (pl.col(RAW).str.count_matches(separator, literal=True) + 1).alias("count")
    frame = lines.with_columns(fields, count)
    quoted = lines[RAW].str.contains('"', literal=True)
    if quoted.any():
        at = quoted.arg_true()
        parsed = [next(csv.reader([line], delimiter=separator), [""]) for line in lines[RAW].gather(at)]
        values = [dict(zip(names, [*row, *[None] * wide], strict=False)) for row in parsed]
        mended = pl.Series("fields", values, dtype=frame.schema["fields"])
        place = pl.Series("place", range(len(frame)), dtype=pl.Int64)
        other = pl.DataFrame(
            {"place": at.cast(pl.Int64), "fields_q": mended, "count_q": pl.Series([len(row) for row in parsed], dtype=pl.UInt32)}
        )
        frame = frame.with_columns(place).join(other, on="place", how="left", maintain_order="left")
        is_quoted = pl.col("count_q").is_not_null()
        frame = frame.with_columns(
            pl.when(is_quoted).then("fields_q").otherwise("fields").alias("fields"),
            pl.coalesce("count_q", "count").alias("count"),
        ).drop("place", "fields_q", "count_q")
    last = pl.lit(False) if ended else pl.int_range(pl.len()) == pl.len() - 1
    said = pl.format("{} of {} fields", "count", pl.lit(wide)) + pl.when(last).then(pl.lit(", and no line end: cut")).otherwise(
        pl.lit("")
    )
    wrong = pl.col("count") != wide
    said = pl.when(pl.col(RAW) == "").then(pl.lit("empty line")).otherwise(said)
    frame = frame.with_columns(pl.when(wrong).then(pl.coalesce(PARSE_ERROR, said)).otherwise(PARSE_ERROR).alias(PARSE_ERROR))
    return frame.drop("count").unnest("fields")


def _parquet(file: Input, layout: Layout, batch_bytes: int, repaired: Repaired) -> Iterator[pl.DataFrame]:
    table = files.parquet(file)
    seen = [field.name for field in table.schema_arrow]
    files.check_columns(file, seen, layout)
    row = 1
    try:
        for batch in table.iter_batches(batch_size=max(1, batch_bytes // 128)):
            frame = _as_text(pl.from_arrow(batch))  # type: ignore[arg-type]
            raw = pl.struct(pl.all()).struct.json_encode().alias(RAW)
            number = (pl.int_range(pl.len()) + row).cast(pl.Int64).alias(ROW)
            row += len(frame)
            yield repaired.fields(
                frame.with_columns(raw, number, pl.lit(file.name).alias(FILE), pl.lit(None, pl.String).alias(PARSE_ERROR))
            )
    except OSError as error:
        raise DataError(
            "the parquet file is damaged",
            f"{file.name}, after row {row - 1}: {error}",
            "fetch the file again; nothing was replaced",
        ) from None


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """All columns as text; times with a zone keep it."""
    texts = []
    for name, kind in frame.schema.items():
        if isinstance(kind, pl.Datetime) and kind.time_zone:
            texts.append(pl.col(name).dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
        elif isinstance(kind, pl.Binary):
            texts.append(pl.col(name).cast(pl.String, strict=False))
        elif kind.is_nested():
            texts.append(pl.lit(None, pl.String).alias(name))
        else:
            texts.append(pl.col(name).cast(pl.String))
    return frame.select(texts)
