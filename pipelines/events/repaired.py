"""Mended rows, taken in place of the originals.

A file data/raw/repaired/*.jsonl has one object per row: source_file, source_row and raw (the mended text, in the
source's own form); other keys are ignored. `python -m pipelines.validate.replay export` writes such a file.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pipelines import paths
from pipelines.columns import FILE, PARSE_ERROR, RAW, ROW
from pipelines.errors import DataError
from pipelines.events.files import REPAIRED

FOLDER = paths.RAW / REPAIRED


@dataclass
class Repaired:
    """Mended text by source file and row; `used` counts what was taken, per source file."""

    texts: dict[str, dict[int, str]]
    used: Counter[str] = field(default_factory=Counter)

    def lines(self, frame: pl.DataFrame) -> pl.DataFrame:
        """FILE, ROW, RAW, PARSE_ERROR with the mended lines in place of the originals."""
        places, texts = self._found(frame)
        if not places:
            return frame
        nothing = pl.Series([None] * len(places), dtype=pl.String)
        return frame.with_columns(
            frame[RAW].clone().scatter(places, pl.Series(texts)),
            frame[PARSE_ERROR].clone().scatter(places, nothing),
        )

    def fields(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A parquet file's frame of text: mended rows (JSON objects) in place of the originals, column by column."""
        places, texts = self._found(frame)
        if not places:
            return frame
        objects = [_object(text, f"{frame[FILE][0]}, row {frame[ROW][place]}") for place, text in zip(places, texts, strict=True)]
        changed = [frame[RAW].clone().scatter(places, pl.Series(texts))]
        for name in frame.columns:
            if name not in (FILE, ROW, RAW, PARSE_ERROR):
                values = [None if row.get(name) is None else str(row[name]) for row in objects]
                changed.append(frame[name].clone().scatter(places, pl.Series(values, dtype=pl.String)))
        return frame.with_columns(changed)

    def _found(self, frame: pl.DataFrame) -> tuple[list[int], list[str]]:
        mended = self.texts.get(frame[FILE][0]) if len(frame) else None
        if not mended:
            return [], []
        first = frame[ROW][0]
        rows = sorted(row for row in mended if first <= row < first + len(frame))
        self.used[frame[FILE][0]] += len(rows)
        return [row - first for row in rows], [mended[row] for row in rows]

    def check(self, file: str) -> None:
        """After the last row of a file: DataError if a mended row has no original."""
        missing = len(self.texts.get(file, {})) - self.used[file]
        if missing:
            raise DataError(
                f"{missing} mended rows have no original",
                f"{FOLDER}, source_file {file}, highest source_row {max(self.texts[file])}",
                "the source file has changed since they were exported: take the mended rows out of the folder",
            )


def load(folder: Path = FOLDER) -> Repaired:
    """All mended rows; later files (by name) win. DataError names the file and line that cannot be read."""
    texts: dict[str, dict[int, str]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except UnicodeDecodeError as error:
            raise DataError("the mended rows are not UTF-8", f"{path}: {error}", "save the file as UTF-8") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            row = _object(line, where)
            file, at, text = row.get(FILE), row.get(ROW), row.get(RAW)
            if not (isinstance(file, str) and isinstance(at, int) and isinstance(text, str)):
                wanted = f"each line: {{{FILE!r}: text, {ROW!r}: number, {RAW!r}: text}}"
                raise DataError("a mended row lacks its source or its text", where, wanted)
            if "\n" in text:
                raise DataError("a mended row has a line end in its text", where, "a row is one line")
            texts.setdefault(file, {})[at] = text
    return Repaired(texts)


def _object(text: str, where: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"a mended row is not JSON: {error}", where, "mend its quotes and commas") from None
    if not isinstance(value, dict):
        raise DataError("a mended row is not a JSON object", where, "write {...}")
    return value
