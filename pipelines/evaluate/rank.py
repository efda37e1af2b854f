"""The ranks of the targets, part by part so that memory is bounded.

A champion may know fewer items than the data: indices only grow, so what it does not know are the indices above its own.
It is asked as it would be served: unknown items of a session are left out, a session without a known item gets the
popularity list, an unknown target has the last rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from jaxtyping import Int
from torch import Tensor

from models.core.base import SessionModel
from models.core.batch import PADDING, SessionBatch
from pipelines import metrics
from pipelines.stores.sessions import Sessions


@dataclass(frozen=True)
class Predictions:
    """One entry per prediction, in order of session and position.

    session   index in data/etl (or row of the given prefixes)
    position  events before the target, 1 or more
    """

    session: Int[Tensor, "P"]
    position: Int[Tensor, "P"]
    target: Int[Tensor, "P"]
    rank: Int[Tensor, "P"]


@dataclass(frozen=True)
class Asked:
    """Prefixes to be scored, and what followed."""

    session: Int[Tensor, "P"]
    position: Int[Tensor, "P"]
    target: Int[Tensor, "P"]
    prefixes: SessionBatch
    whole: SessionBatch | None = None
    """The sessions that the prefixes are all the prefixes of: causal models score them in one pass."""


def every_position(data: Sessions, sessions: Int[Tensor, "n"], rows: int) -> Iterator[Asked]:
    for part in data.parts(data.longest_first(sessions), rows):
        batch = data.batch(part)
        prefixes = batch.prefixes()
        if len(prefixes):
            yield Asked(part.repeat_interleave(batch.lengths - 1), prefixes.lengths, batch.targets(), prefixes, batch)


def last_item(data: Sessions, sessions: Int[Tensor, "n"], rows: int) -> Iterator[Asked]:
    for part in torch.split(data.longest_first(sessions), rows):
        yield last_of(data.batch(part), part)


def last_of(batch: SessionBatch, session: Int[Tensor, "P"]) -> Asked:
    """The last event of each session is the target, those before it are the prefix."""
    before, target = batch.before_last()
    return Asked(session, before.lengths, target, before)


@torch.inference_mode()
def rank(model: SessionModel, asked: Iterator[Asked], counts: Int[Tensor, "V"]) -> tuple[Predictions, metrics.Shown]:
    """counts: training events of every item of the data; the popularity list of a session without a known item."""
    model.eval()
    shown, parts = metrics.Shown(counts), []
    for part in asked:
        scores = _scores(model, part, counts)
        known = part.target < scores.shape[1]
        ranks = metrics.ranks(scores, part.target.where(known, PADDING + 1)).where(known, len(counts) - 1)
        shown.add(metrics.top(scores), part.prefixes.items)
        parts.append(Predictions(part.session, part.position, part.target, ranks))
    found = Predictions(*(torch.cat([getattr(part, column.name) for part in parts]).cpu() for column in fields(Predictions)))
    order = torch.argsort(found.session, stable=True)  # within a session the positions rise already
    return Predictions(*(getattr(found, column.name)[order] for column in fields(Predictions))), shown


def _scores(model: SessionModel, asked: Asked, counts: Int[Tensor, "V"]) -> Tensor:
    size = model.features.num_items + 1
    prefixes = asked.prefixes
    unknown = prefixes.items >= size
    if not bool(unknown.any() | (prefixes.lengths == 0).any()):
        return model.scores_everywhere(asked.whole) if asked.whole is not None else model.scores(prefixes)
    items = prefixes.items.where(~unknown, PADDING)
    order = torch.argsort((items == PADDING).int(), dim=1, stable=True)
    columns = {name: values.where(~unknown, 0).gather(1, order) for name, values in prefixes.columns.items()}
    lengths = (items != PADDING).sum(1)
    scores = model.scores(SessionBatch(items.gather(1, order), lengths.clamp(min=1), columns))
    popular = counts[:size].to(scores.dtype).index_fill(0, torch.tensor([PADDING], device=scores.device), float("-inf"))
    return scores.where((lengths > 0)[:, None], popular)
