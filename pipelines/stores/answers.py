"""The request and answer of the served model, as arrays: the same in the file, in the server and in the golden sessions.

request  item_ids int64 [B, L]: raw ids, most recent last; NO_ITEM pads, anywhere. Unknown ids are ignored.
         and, only if the model reads columns that need them, at the same places (what stands beside NO_ITEM is ignored):
         timestamps int64 [B, L]: of the events, microseconds since 1970 UTC
         event_types int64 [B, L]: `pipelines.columns.text_hash` of the types' texts; NO_TYPE where it is not known
         and, unless the version was made before they came:
         exclude_seen int64 [B, 1]: 1 leaves the session's items out of its answer, 0 does not, BY_SETTING: as serve.exclude_seen
         denied_item_ids int64 [B, D]: raw ids that the answer must not hold; NO_ITEM pads. Unknown ids are ignored.
answer   next_item_ids int64 [B, K]: raw ids, best first; NO_ITEM where there are fewer than K items
         scores float32 [B, K]: the model's own scale, falling; -inf beside NO_ITEM
         fallback bool [B, 1]: true where no item of the session is known; then the list is the most popular items
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import DataError

NO_ITEM = -1
"""Pads requests and answers; no item may have this id."""
NO_TYPE = 0
"""The event's type is not known."""
BY_SETTING = -1
"""Seen items are left out or not as the version's settings had it: serve.exclude_seen."""
INPUT, TIMES, EVENT_TYPES = "item_ids", "timestamps", "event_types"
EXCLUDE, DENIED = "exclude_seen", "denied_item_ids"
BLANKS = {INPUT: NO_ITEM, TIMES: 0, EVENT_TYPES: NO_TYPE, EXCLUDE: BY_SETTING, DENIED: NO_ITEM}
"""Every input that a graph may have, with what stands where nothing is said."""
OUTPUTS = ("next_item_ids", "scores", "fallback")
MAX_BATCH = 64
"""Sessions of one request to the server."""
TOLERANCE = 1e-4
"""How far two scores may differ, relative to their size (absolute below 1)."""

Ids = npt.NDArray[np.int64]
Request = Mapping[str, Ids]
"""Input name -> [B, its width]."""


@dataclass(frozen=True)
class Answers:
    """Answers to B sessions, in their order."""

    ids: Ids
    scores: npt.NDArray[np.float32]
    fallback: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)


def join(parts: Sequence[Answers]) -> Answers:
    return Answers(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "scores", "fallback")))


def take(request: Request, rows: slice | npt.NDArray[np.int64]) -> dict[str, Ids]:
    """Some sessions of a request."""
    return {name: values[rows] for name, values in request.items()}


def parts(request: Request) -> list[dict[str, Ids]]:
    """The request in parts of at most MAX_BATCH sessions."""
    return [take(request, slice(begin, begin + MAX_BATCH)) for begin in range(0, len(request[INPUT]), MAX_BATCH)]


def fit(request: Request, widths: Mapping[str, int]) -> dict[str, Ids]:
    """The request as a graph with these inputs is asked: choices left open get their blank, what it does not know goes.

    widths  of the graph's inputs. A version made before choices came knows none, and lets seen and denied items in.
    DataError if a choice would get lost by that.
    """
    lost = [
        name
        for name, free in ((EXCLUDE, {BY_SETTING, 0}), (DENIED, {NO_ITEM}))
        if name in request and name not in widths and not np.isin(request[name], list(free)).all()
    ]
    if lost:
        what = f"the served version cannot do that: it has no input {', '.join(lost)}"
        raise DataError(what, f"its inputs: {', '.join(widths)}", "register and promote a version anew, or leave this out")
    rows = len(request[INPUT])
    left_open = {name: np.full((rows, widths[name]), BLANKS[name]) for name in (EXCLUDE, DENIED) if name in widths}
    whole = {**left_open, **request}
    return {name: whole[name] for name in widths if name in whole}


def pad(sessions: Sequence[Sequence[int]], length: int, blank: int = NO_ITEM) -> Ids:
    """One input of a request: right-padded; of a longer session the most recent `length` events."""
    request = np.full((len(sessions), length), blank, dtype=np.int64)
    for row, session in zip(request, sessions, strict=True):
        recent = session[-length:]
        row[: len(recent)] = recent
    return request


def differences(expected: Answers, got: Answers) -> tuple[npt.NDArray[np.bool_], float]:
    """Which sessions are answered differently, [B], and the largest difference of a score, relative as TOLERANCE is.

    Items whose scores are equal within TOLERANCE may stand in any order; at the end of the list, in place of each other.
    """
    if expected.ids.shape != got.ids.shape:
        return np.ones(len(expected), dtype=np.bool_), float("inf")
    both_empty = np.isneginf(expected.scores) & np.isneginf(got.scores)
    with np.errstate(invalid="ignore"):
        apart = np.abs(expected.scores - got.scores) / np.maximum(1, np.abs(expected.scores))
    apart = np.where(both_empty, 0, np.nan_to_num(apart, nan=np.inf))
    wrong = (apart > TOLERANCE).any(1) | (expected.fallback != got.fallback).any(1)
    for row in np.flatnonzero((expected.ids != got.ids).any(1) & ~wrong):
        wrong[row] = not _tied(expected.ids[row], expected.scores[row], got.ids[row])
    return wrong, float(apart.max(initial=0.0))


def _tied(expected: Ids, scores: npt.NDArray[np.float32], got: Ids) -> bool:
    """Whether each item of `got` has, in `expected`, the score of the place where it stands, or tied with the last place."""
    place = {int(item): score for item, score in zip(expected, scores, strict=True)}
    last = scores[-1]
    if len(set(got.tolist())) < len(got):
        return False
    near = 2 * TOLERANCE * np.maximum(1, np.abs(scores))
    return all(
        here == there or abs(place.get(int(there), last) - score) <= room
        for here, there, score, room in zip(expected, got, scores, near, strict=True)
    )


def write_golden(path: Path, request: Request, answers: Answers) -> None:
    """Sessions with the answers expected. Places without an item are left out: JSON knows no infinity."""
    rows = [
        {
            **{name: values[row].tolist() for name, values in request.items()},
            "next_item_ids": ids[ids != NO_ITEM].tolist(),
            "scores": [float(score) for score in scores[ids != NO_ITEM]],
            "fallback": bool(fallback[0]),
        }
        for row, (ids, scores, fallback) in enumerate(zip(answers.ids, answers.scores, answers.fallback, strict=True))
    ]
    text = json.dumps({"num_answers": int(answers.ids.shape[1]), "sessions": rows}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def read_golden(path: Path) -> tuple[Request, Answers]:
    """What `write_golden` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows, width = found["sessions"], found["num_answers"]

    def filled(key: str, blank: float, kind: Any) -> npt.NDArray[Any]:
        return np.array([row[key] + [blank] * (width - len(row[key])) for row in rows], dtype=kind)

    inputs = [name for name in BLANKS if name in rows[0]]
    request = {name: np.array([row[name] for row in rows], dtype=np.int64) for name in inputs}
    fallback = np.array([[row["fallback"]] for row in rows], dtype=np.bool_)
    ids, scores = filled("next_item_ids", NO_ITEM, np.int64), filled("scores", -np.inf, np.float32)
    return request, Answers(ids, scores, fallback)


class Graph:
    """`model.onnx` in this process: what the server must answer."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    @property
    def length(self) -> int:
        """Events of a session that the graph reads."""
        return int(self.session.get_inputs()[0].shape[1])

    @property
    def widths(self) -> dict[str, int]:
        """Of its inputs, by name."""
        return {one.name: int(one.shape[1]) for one in self.session.get_inputs()}

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(self.widths)

    def ask(self, request: Request) -> Answers:
        """Choices that the request leaves out are left open."""
        whole = fit(request, self.widths)
        return join([Answers(*self.session.run(list(OUTPUTS), part)) for part in parts(whole)])
