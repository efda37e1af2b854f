"""`data/etl` as tensors: read once, kept on the device, cut into batches by index arithmetic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from pydantic import ValidationError
from torch import Tensor

from models.core.base import Features
from models.core.batch import PADDING, SessionBatch, places_before
from pipelines.columns import ITEM
from pipelines.errors import DataError, nearest
from pipelines.features import FIRST_VALUE
from pipelines.paths import ETL
from pipelines.split import TRAIN
from pipelines.stores import meanings
from pipelines.stores.meanings import AGAIN, Meaning

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Sessions:
    """All sessions of a data set, in time order.

    items    [E] item indices of all events, session after session
    offsets  [S + 1] where each session begins in `items`
    split    [S] pipelines.split.TRAIN, VALID or TEST
    columns  other event columns by name, [E] each
    notes    what a person should know of the columns
    of_items  columns of indices that describe items, by name, [E] each; batches do not hold them
    """

    features: Features
    items: Int[Tensor, "E"]
    offsets: Int[Tensor, "S+1"]
    split: Int[Tensor, "S"]
    columns: dict[str, Tensor]
    notes: tuple[str, ...] = ()
    of_items: dict[str, Tensor] = field(default_factory=dict)

    @property
    def lengths(self) -> Int[Tensor, "S"]:
        return self.offsets.diff()

    def of(self, *splits: int, at_least: int = 1) -> Int[Tensor, "n"]:
        """Indices of the sessions of those splits that have at least so many events, in time order."""
        return (self._within(splits) & (self.lengths >= at_least)).nonzero().squeeze(1)

    def counts(self, *splits: int) -> Int[Tensor, "V"]:
        """Events of each item in the sessions of those splits, TRAIN if none is named; V = num_items + 1."""
        return torch.bincount(self.items[self._events(splits)], minlength=self.features.num_items + 1)

    def item_values(self, *splits: int) -> dict[str, Int[Tensor, "V"]]:
        """Of each column in `of_items`, each item's value at its last event in those splits (TRAIN if none is named).

        PADDING for an item without one.
        """
        place = self._events(splits).nonzero().squeeze(1)
        never = torch.full((self.features.num_items + 1,), -1, device=place.device)
        last_V = never.scatter_reduce(0, self.items[place], place, "amax")
        return {name: values[last_V.clamp(min=0)].long().where(last_V >= 0, PADDING) for name, values in self.of_items.items()}

    def _events(self, splits: tuple[int, ...]) -> Bool[Tensor, "E"]:
        return torch.repeat_interleave(self._within(splits or (TRAIN,)), self.lengths)

    def _within(self, splits: tuple[int, ...]) -> Bool[Tensor, "S"]:
        return torch.isin(self.split, torch.tensor(splits, device=self.split.device))

    def batch(self, sessions: Int[Tensor, "n"], longest: int | None = None, targets: int | None = None) -> SessionBatch:
        """These sessions, padded to the longest of them.

        Who knows their greatest length and the number of their events that have a next one tells both: nothing waits for
        the device then.
        """
        begin, lengths = self.offsets[sessions], self.offsets[sessions + 1] - self.offsets[sessions]
        if longest is None:
            longest = int(lengths.max()) if len(lengths) else 0
        order = torch.arange(longest, device=self.items.device)
        happened = order < lengths[:, None]
        place = (begin[:, None] + order) * happened
        columns = {name: values[place] * happened for name, values in self.columns.items()}
        before = None if targets is None else places_before(lengths, longest, targets)
        return SessionBatch(self.items[place] * happened, lengths, columns, before)

    def longest_first(self, sessions: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
        """These sessions by falling length: cut into parts, they need little padding."""
        return sessions[torch.argsort(self.lengths[sessions], descending=True, stable=True)]

    def parts(self, sessions: Int[Tensor, "n"], rows: int) -> Iterator[Int[Tensor, "m"]]:
        """The sessions in that order, in parts of at most `rows` prefixes with a next event (or one longer session)."""
        prefixes = (self.lengths[sessions] - 1).clamp(min=0).cumsum(0).cpu().numpy()
        begin = 0
        while begin < len(sessions):
            before = prefixes[begin - 1] if begin else 0
            end = max(int(np.searchsorted(prefixes, before + rows, side="right")), begin + 1)
            yield sessions[begin:end]
            begin = end


def load(
    device: torch.device,
    columns: Iterable[str] = (),
    folder: Path = ETL,
    known: Mapping[str, Meaning] | None = None,
    of_items: Iterable[str] = (),
) -> Sessions:
    """The data set with these columns beside the item. DataError if a file is absent, broken or disagrees.

    known  columns as a model has learned them, which may be by an older etl: they are given as it knows them
    of_items  columns of indices that describe items
    """
    schema, known = read_json(folder / "schema.json"), known or {}
    described = schema.get("columns", {})
    columns, of_items = tuple(columns), tuple(of_items)
    both = tuple(dict.fromkeys((*columns, *of_items)))
    for name in both:
        if name not in described or described[name].get("role") == "item":
            there = nearest(name, (one for one in described if one != ITEM))
            raise DataError(f"data/etl has no column {name!r} to read beside the item", str(folder / "schema.json"), there)
    for name in of_items:
        if described[name]["role"] != "categorical":
            what = f"column {name!r} cannot describe items: it is a {described[name]['role']} column, not one of categories"
            there = nearest(name, (one for one in described if described[one].get("role") == "categorical"))
            raise DataError(what, "zoo.<model>.item_columns", there)
    try:
        features = Features(
            num_items=schema["num_items"],
            max_session_length=schema["max_session_length"],
            cardinalities={name: described[name]["cardinality"] for name in both if described[name]["role"] == "categorical"},
        )
    except (KeyError, ValidationError) as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError("the schema of the sessions cannot be used", f"{folder / 'schema.json'}: {why}", AGAIN) from None
    items, offsets, split = (_array(folder / name) for name in (f"columns/{ITEM}.npy", "offsets.npy", "split.npy"))
    _check(folder, features, items, offsets, split)
    others = {name: _array(folder / f"columns/{name}.npy") for name in both}
    for name, values in others.items():
        _check_column(folder, name, values, len(items), features.cardinalities.get(name))
    notes = _notes(others, described, np.repeat(split == TRAIN, np.diff(offsets)), folder)
    for name, here in meanings.read(known.keys() & others.keys(), described, folder).items():
        others[name] = meanings.translate(others[name], here, known[name])
    learned = {name: FIRST_VALUE + len(known[name].values) for name in features.cardinalities if name in known}
    tensors = {name: _tensor(values, device) for name, values in others.items()}
    return Sessions(
        features.model_copy(update={"cardinalities": features.cardinalities | learned}),
        _tensor(items, device).long(),
        _tensor(offsets, device).long(),
        _tensor(split, device).long(),
        {name: tensors[name] for name in columns},
        tuple(notes),
        {name: tensors[name] for name in of_items},
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


def _array(path: Path) -> Array:
    try:
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise DataError(f"{path.name} is not there", str(path), AGAIN) from None
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path.name} cannot be read", f"{path}: {error}", AGAIN) from None


def _tensor(values: Array, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _check(
    folder: Path,
    features: Features,
    items: Array,
    offsets: Array,
    split: Array,
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


def _check_column(folder: Path, name: str, values: Array, events: int, cardinality: int | None) -> None:
    """An index out of range would read another table's row, a number that is none would end the training."""
    problems = {f"column {name!r} has {len(values):,} events, {ITEM} has {events:,}": len(values) != events}
    if cardinality is not None:
        wrong = len(values) > 0 and (int(values.min()) < 1 or int(values.max()) >= cardinality)
        problems[f"column {name!r} holds indices outside 1..{cardinality - 1:,}"] = wrong
    elif values.dtype.kind == "f":
        missing = int((~np.isfinite(values)).sum())
        problems[f"column {name!r} holds {missing:,} values that are no finite numbers"] = missing > 0
    for what, wrong in problems.items():
        if wrong:
            raise DataError(what, str(folder / f"columns/{name}.npy"), AGAIN)


def _notes(columns: Mapping[str, Array], described: Mapping[str, Any], training: Array, folder: Path) -> Iterator[str]:
    """Columns that say the same of every training event. They do no harm: a shop may have no brands today."""
    for name, values in columns.items():
        seen = values[training]
        if described[name]["role"] != "time" and len(seen) and seen.min() == seen.max():
            only = f"{seen[0]:g}"
            if described[name]["role"] == "categorical":
                only = meanings.read([name], described, folder)[name].text(int(seen[0]))
            yield f"column {name!r} has one value in all training events ({only}): it cannot help"
