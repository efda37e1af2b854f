"""Which files a run reads, and how their first bytes say what they are."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import paths
from pipelines.errors import DataError
from pipelines.events.layout import Layout
from pipelines.events.params import EventsParams

REPAIRED = "repaired"
"""Folder of data/raw with mended rows (see pipelines.validate.replay); never read as raw data."""

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Input:
    """One file, or text made on the spot."""

    name: str
    path: Path | None = None
    text: bytes = b""

    @property
    def kind(self) -> str:
        """parquet, jsonl or text."""
        stem = self.name.lower().removesuffix(".gz")
        if stem.endswith(".parquet"):
            return "parquet"
        return "jsonl" if stem.endswith((".jsonl", ".ndjson")) else "text"

    def open(self) -> BinaryIO:
        """The bytes, unpacked. DataError if the name says gzip and the bytes do not."""
        if self.path is None:
            return io.BytesIO(self.text)
        stream = self.path.open("rb")
        packed = stream.read(2) == GZIP
        stream.seek(0)
        if self.name.lower().endswith(".gz") and not packed and self.path.stat().st_size:
            stream.close()
            raise DataError("the file is named .gz and is no gzip file", self.name, "rename it without .gz, or fetch it again")
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream) if packed else stream)


def listed(patterns: list[str], root: Path = paths.RAW) -> list[Input]:
    """Files under data/raw that a pattern names, links followed, by name. README.md and hidden files are no data."""
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder)
        if here == root and REPAIRED in folders:
            folders.remove(REPAIRED)
        for name in sorted(names):
            relative = (here / name).relative_to(root).as_posix()
            if name != "README.md" and not name.startswith(".") and any(fnmatch(relative, pattern) for pattern in patterns):
                found.append(Input(name=relative, path=here / name))
    return found


@dataclass(frozen=True)
class Choice:
    """The files to read, and why others are not: name -> reason."""

    inputs: list[Input]
    left: dict[str, str]


def choose(events: EventsParams, layout: Layout, copies: dict[str, str]) -> Choice:
    """Files of the source among those in data/raw. DataError if there are none, or too many of another kind."""
    candidates = listed(events.files)
    if not candidates:
        raise DataError(
            f"there are no files to read for source {events.source!r}",
            f"{paths.RAW}, patterns {events.files}",
            f"put the files (or links to them) into {paths.RAW}, or set events.source: simulate",
        )
    left = {name: f"its rows all stand in {whole}" for name, whole in copies.items()}
    inputs, other = [], {}
    for candidate in candidates:
        if candidate.name in left:
            continue
        strange = _other_kind(candidate, layout)
        if strange:
            other[candidate.name] = strange
        else:
            inputs.append(candidate)
    share = len(other) / max(1, len(other) + len(inputs))
    if not inputs or share > events.max_other_files_share:
        shown = [f"{name}: {why}" for name, why in list(other.items())[:5]]
        raise DataError(
            f"{len(other)} of {len(other) + len(inputs)} files are not of source {events.source!r}",
            "\n         ".join(shown),
            f"expected: {', '.join(layout.expected)} in {', '.join(layout.suffixes)} files; "
            "set events.source, or name the right files in events.files",
        )
    return Choice(inputs, left | other)


def _other_kind(candidate: Input, layout: Layout) -> str | None:
    """Why a file does not belong to the source at all; None if it does (be it broken)."""
    stem = candidate.name.lower().removesuffix(".gz")
    if not stem.endswith(layout.suffixes):
        return f"its name does not end in {', '.join(layout.suffixes)}"
    if candidate.kind == "jsonl":
        return None
    seen = header(candidate, layout.separator)
    split = {name for column in seen for sign in SEPARATORS for name in column.split(sign)}
    if not split & set(layout.expected):
        return f"its first line is {shortened(seen)}"
    return None


SEPARATORS = (",", "\t", ";", "|")


def header(file: Input, separator: str) -> list[str]:
    """The column names a file gives. DataError if it is empty, cut short, or not UTF-8."""
    if file.kind == "parquet":
        return [field.name for field in parquet(file).schema_arrow]
    with file.open() as stream:
        line = read(file, stream, 1 << 16).split(b"\n", 1)[0]
    return columns_of(file, line, separator)


def columns_of(file: Input, line: bytes, separator: str) -> list[str]:
    """The names in a header line, without byte order mark and quotes."""
    if line.startswith(UTF16):
        raise DataError("the file is not UTF-8 but UTF-16", f"{file.name}, header", "convert it: iconv -f UTF-16 -t UTF-8")
    try:
        text = line.decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the file is not UTF-8: byte 0x{line[error.start]:02x}",
            f"{file.name}, header, byte {error.start + 1}",
            "convert it to UTF-8 (iconv), or fetch it again if it should be a .gz or .parquet file",
        ) from None
    if not text.strip():
        raise DataError("the file is empty", file.name, "fetch it again, or take it out of data/raw")
    return [name.strip().strip('"') for name in text.split(separator)]


def read(file: Input, stream: BinaryIO, size: int) -> bytes:
    """The next bytes. DataError if the gzip file ends too early or is damaged."""
    try:
        return stream.read(size)
    except (EOFError, gzip.BadGzipFile, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(
            "the gzip file is cut short or damaged",
            f"{file.name}: {error}",
            "fetch the file again (its size or checksum will tell); nothing was replaced",
        ) from None


def parquet(file: Input) -> pq.ParquetFile:
    """The parquet file. DataError if it is empty, cut short or damaged."""
    assert file.path is not None, "parquet comes from files"
    if not file.path.stat().st_size:
        raise DataError("the file is empty", file.name, "fetch it again, or take it out of data/raw")
    try:
        return pq.ParquetFile(file.path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            "the parquet file is cut short or damaged",
            f"{file.name}: {error}",
            "fetch the file again (its size or checksum will tell); nothing was replaced",
        ) from None


def shortened(names: list[str]) -> str:
    text = ", ".join(names)
    return repr(text if len(text) <= 100 else text[:100] + " ...")


def check_columns(file: Input, seen: list[str], layout: Layout) -> None:
    """DataError if a column is missing: the columns seen, those expected, and the delimiter it looks like."""
    missing = [name for name in layout.columns.values() if name not in seen]
    if not missing:
        return
    for sign in SEPARATORS:
        if file.kind == "text" and sign != layout.separator and set(layout.columns.values()) <= set(sign.join(seen).split(sign)):
            raise DataError(
                f"wrong delimiter: the header looks separated by {sign!r}, source expects {layout.separator!r}",
                f"{file.name}: {shortened(seen)}",
                "set events.source: mapped with events.mapped.separator, or convert the file",
            )
    raise DataError(
        f"missing column{'s' * (len(missing) > 1)}: {', '.join(missing)}",
        f"{file.name}: columns seen: {', '.join(seen)[:400]}",
        f"expected: {', '.join(layout.expected)}; rename the columns, or set events.source: mapped with their names",
    )


def rows(file: Input, batch_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Blocks of whole lines after the header, and whether the block's last line had its line end."""
    with file.open() as stream:
        rest = read(file, stream, batch_bytes)
        if file.kind == "text":
            while b"\n" not in rest and (more := read(file, stream, batch_bytes)):
                rest += more
            rest = rest.split(b"\n", 1)[1] if b"\n" in rest else b""
        while True:
            more = read(file, stream, batch_bytes)
            if not more:
                break
            whole, found, tail = more.rpartition(b"\n")
            if found:
                yield rest + whole, True
                rest = tail
            else:
                rest += more
        if rest:
            yield rest.removesuffix(b"\n"), rest.endswith(b"\n")
