"""`data/etl` as tensors: read once, kept on the device, cut into batches by index arithmetic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from pydantic import ValidationError
from torch import Tensor

from models.core.base import Features
from models.core.batch import SessionBatch
from pipelines.columns import ITEM
from pipelines.errors import DataError, nearest
from pipelines.paths import ETL
from pipelines.split import TRAIN

AGAIN = "run etl again (dvc repro etl); data/etl is written as a whole"


@dataclass(frozen=True)
class Sessions:
    """All sessions of a data set, in time order.

    items    [E] item indices of all events, session after session
    offsets  [S + 1] where each session begins in `items`
    split    [S] pipelines.split.TRAIN, VALID or TEST
    columns  other event columns by name, [E] each
    """

    features: Features
    items: Int[Tensor, "E"]
    offsets: Int[Tensor, "S+1"]
    split: Int[Tensor, "S"]
    columns: dict[str, Tensor]

    @property
    def lengths(self) -> Int[Tensor, "S"]:
        return self.offsets.diff()

    def of(self, *splits: int, at_least: int = 1) -> Int[Tensor, "n"]:
        """Indices of the sessions of those splits that have at least so many events, in time order."""
        return (self._within(splits) & (self.lengths >= at_least)).nonzero().squeeze(1)

    def counts(self, *splits: int) -> Int[Tensor, "V"]:
        """Events of each item in the sessions of those splits, TRAIN if none is named; V = num_items + 1."""
        events = self.items[torch.repeat_interleave(self._within(splits or (TRAIN,)), self.lengths)]
        return torch.bincount(events, minlength=self.features.num_items + 1)

    def _within(self, splits: tuple[int, ...]) -> Bool[Tensor, "S"]:
        return torch.isin(self.split, torch.tensor(splits, device=self.split.device))

    def batch(self, sessions: Int[Tensor, "n"]) -> SessionBatch:
        """These sessions, padded to the longest of them."""
        begin, lengths = self.offsets[sessions], self.offsets[sessions + 1] - self.offsets[sessions]
        order = torch.arange(int(lengths.max()) if len(lengths) else 0, device=self.items.device)
        happened = order < lengths[:, None]
        place = (begin[:, None] + order) * happened
        columns = {name: values[place] * happened for name, values in self.columns.items()}
        return SessionBatch(self.items[place] * happened, lengths, columns)

    def parts(self, sessions: Int[Tensor, "n"], rows: int) -> Iterator[Int[Tensor, "m"]]:
        """The sessions in order, in parts of at most `rows` prefixes with a next event (or one longer session)."""
        prefixes = (self.lengths[sessions] - 1).clamp(min=0).cumsum(0).cpu().numpy()
        begin = 0
        while begin < len(sessions):
            before = prefixes[begin - 1] if begin else 0
            end = max(int(np.searchsorted(prefixes, before + rows, side="right")), begin + 1)
            yield sessions[begin:end]
            begin = end


def load(device: torch.device, columns: Iterable[str] = (), folder: Path = ETL) -> Sessions:
    """The data set with these columns beside the item. DataError if a file is absent, broken or disagrees."""
    schema = read_json(folder / "schema.json")
    try:
        features = Features(
            num_items=schema["num_items"],
            max_session_length=schema["max_session_length"],
            cardinalities={name: schema["columns"][name]["cardinality"] for name in columns if _is_index(schema, name)},
        )
    except (KeyError, ValidationError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError("the schema of the sessions cannot be used", f"{folder / 'schema.json'}: {why}", AGAIN) from None
    items, offsets, split = (_array(folder / name) for name in (f"columns/{ITEM}.npy", "offsets.npy", "split.npy"))
    _check(folder, features, items, offsets, split)
    others = {}
    for name in columns:
        if name not in schema["columns"]:
            known = nearest(name, schema["columns"])
            raise DataError(f"data/etl has no column {name!r}", str(folder / "schema.json"), known)
        others[name] = _array(folder / f"columns/{name}.npy")
        if len(others[name]) != len(items):
            what = f"column {name!r} has {len(others[name]):,} events, {ITEM} has {len(items):,}"
            raise DataError(what, str(folder / "columns"), AGAIN)
    return Sessions(
        features,
        _tensor(items, device).long(),
        _tensor(offsets, device).long(),
        _tensor(split, device).long(),
        {name: _tensor(values, device) for name, values in others.items()},
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of an earlier stage. DataError if it is absent or broken."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path.name} is not there", str(path), AGAIN) from None
    except ValueError as error:
        raise DataError(f"{path.name} is not valid JSON", f"{path}: {error}", AGAIN) from None
    if not isinstance(found, dict):
        raise DataError(f"{path.name} is not a JSON object", str(path), AGAIN)
    return found


def _is_index(schema: dict[str, Any], name: str) -> bool:
    return bool(schema["columns"].get(name, {}).get("cardinality"))


def _array(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    try:
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise DataError(f"{path.name} is not there", str(path), AGAIN) from None
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path.name} cannot be read", f"{path}: {error}", AGAIN) from None


def _tensor(values: np.ndarray[Any, np.dtype[Any]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _check(
    folder: Path,
    features: Features,
    items: np.ndarray[Any, np.dtype[Any]],
    offsets: np.ndarray[Any, np.dtype[Any]],
    split: np.ndarray[Any, np.dtype[Any]],
) -> None:
    """What the tensors rely on: an index out of range would read another session's events without a word."""
    lengths = np.diff(offsets)
    problems = {
        f"offsets.npy has {len(offsets):,} entries for {len(split):,} sessions in split.npy": len(offsets) != len(split) + 1,
        f"offsets.npy does not rise from 0 to {len(items):,} events": (
            len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(items) or bool((lengths < 0).any())
        ),
        f"{ITEM}.npy holds indices outside 1..{features.num_items:,}": (
            len(items) > 0 and (int(items.min()) < 1 or int(items.max()) > features.num_items)
        ),
        f"a session has {int(lengths.max()) if len(lengths) else 0:,} events, max_session_length is "
        f"{features.max_session_length:,}": len(lengths) > 0 and int(lengths.max()) > features.max_session_length,
    }
    for what, wrong in problems.items():
        if wrong:
            raise DataError(what, str(folder), AGAIN)
