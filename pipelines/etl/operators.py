"""Our NVTabular operators: what its own do by merging frames, done by looking up an array.

They work on pandas frames (numpy) and, in NVTabular's GPU mode, on cuDF frames (cupy).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.etl import compat  # noqa: F401  before dask and merlin
from pipelines.features import AGE, CYCLE, DAY_S, FIRST_VALUE, MICROSECONDS, MONDAY, NULL, RARE, UNSEEN

import dask  # isort: skip
import merlin.dtypes as md  # isort: skip
from nvtabular.ops import Operator, StatOperator  # isort: skip


def values(column: Any) -> Any:
    """A column's array: numpy from pandas, cupy from cuDF."""
    return column.values


def like(array: Any, table: npt.NDArray[Any]) -> Any:
    """`table` where `array` lives."""
    if isinstance(array, np.ndarray):
        return table
    import cupy

    return cupy.asarray(table)


class Lookup(StatOperator):  # type: ignore[misc]
    """Codes (0 null, k + 1 for texts[k]) become indices by training count: see pipelines/features.py.

    More frequent values come first, equally frequent ones by text: the result depends on the data alone.
    """

    def __init__(self, texts: Mapping[str, list[str]], min_support: int) -> None:
        super().__init__()
        self.texts, self.min_support = dict(texts), min_support
        self.kept: dict[str, list[tuple[str, int]]] = {}
        self.rare: dict[str, list[tuple[str, int]]] = {}
        self.tables: dict[str, npt.NDArray[np.int32]] = {}

    def fit(self, col_selector: Any, ddf: Any) -> Any:
        sizes = {name: len(self.texts[name]) + 1 for name in col_selector.names}
        parts = [dask.delayed(_counts)(part, sizes) for part in ddf.to_delayed()]
        return dask.delayed(_sum)(parts)

    def fit_finalize(self, dask_stats: Mapping[str, npt.NDArray[np.int64]]) -> None:
        for name, counts in dask_stats.items():
            ranked = sorted(zip(self.texts[name], counts[1:].tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
            self.kept[name] = [pair for pair in ranked if pair[1] >= self.min_support]
            self.rare[name] = [pair for pair in ranked if 0 < pair[1] < self.min_support]
            self.tables[name] = table(
                self.texts[name], [text for text, _ in self.kept[name]], [text for text, _ in self.rare[name]]
            )

    def clear(self) -> None:
        self.kept, self.rare, self.tables = {}, {}, {}

    def transform(self, col_selector: Any, df: Any) -> Any:
        return type(df)({n: like(values(df[n]), self.tables[n])[values(df[n])] for n in col_selector.names})

    @property
    def output_dtype(self) -> Any:
        return md.int32


def table(texts: list[str], kept: list[str], rare: list[str]) -> npt.NDArray[np.int32]:
    """The index of each code, given which values have an index of their own (in order) and which are rare."""
    index = {text: FIRST_VALUE + position for position, text in enumerate(kept)} | dict.fromkeys(rare, RARE)
    return np.array([NULL, *(index.get(text, UNSEEN) for text in texts)], np.int32)


def _counts(frame: Any, sizes: Mapping[str, int]) -> dict[str, npt.NDArray[np.int64]]:
    out = {}
    for name, size in sizes.items():
        counts = np.bincount(frame[name].to_numpy(), minlength=size)
        out[name] = counts.astype(np.int64)
    return out


def _sum(parts: list[dict[str, npt.NDArray[np.int64]]]) -> dict[str, npt.NDArray[np.int64]]:
    return {name: np.sum([part[name] for part in parts], axis=0) for name in parts[0]}


class Cycle(Operator):  # type: ignore[misc]
    """A time (int64 us, UTC) on two circles: hour_sin, hour_cos (the time of day) and weekday_sin, weekday_cos."""

    def transform(self, col_selector: Any, df: Any) -> Any:
        (name,) = col_selector.names
        return type(df)(cycle(values(df[name])))

    def column_mapping(self, col_selector: Any) -> dict[str, list[str]]:
        return {name: list(col_selector.names) for name in CYCLE}

    @property
    def output_dtype(self) -> Any:
        return md.float32


def cycle(time: Any) -> dict[str, Any]:
    """The columns of Cycle: float32, -1..1."""
    second = time // MICROSECONDS
    day = second // DAY_S
    hour = (second - day * DAY_S).astype(np.float32) * np.float32(2 * np.pi / DAY_S)
    angle = np.arange(7, dtype=np.float32) * np.float32(2 * np.pi / 7)
    weekday = (day + MONDAY) % 7
    arrays = (np.sin(hour), np.cos(hour), like(time, np.sin(angle))[weekday], like(time, np.cos(angle))[weekday])
    return dict(zip(CYCLE, arrays, strict=True))


class ItemAge(Operator):  # type: ignore[misc]
    """Days since an item was first seen, as log(1 + days): `item_age` from the item's index and the time.

    first_seen  int64 us, by index; an item first seen later than the event (an out-of-order log) has age 0
    """

    def __init__(self, first_seen: npt.NDArray[np.int64]) -> None:
        super().__init__()
        self.first_seen = first_seen

    def transform(self, col_selector: Any, df: Any) -> Any:
        item, time = (values(df[name]) for name in ("item_id", "timestamp"))
        return type(df)({AGE: age(item, time, like(time, self.first_seen))})

    def column_mapping(self, col_selector: Any) -> dict[str, list[str]]:
        return {AGE: list(col_selector.names)}

    @property
    def output_dtype(self) -> Any:
        return md.float32


def age(item: Any, time: Any, first_seen: Any) -> Any:
    """log(1 + days), float32."""
    days = (time - first_seen[item]).astype(np.float32)
    days *= np.float32(1 / (DAY_S * MICROSECONDS))
    return np.log1p(np.maximum(days, 0, out=days), out=days)
