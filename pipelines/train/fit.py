"""The training loop: epochs, early stopping on validation MRR@20, the best weights kept; and the refit on all days."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from models.core.base import SessionModel
from pipelines.errors import DataError
from pipelines.split import TRAIN, VALID
from pipelines.stores.sessions import Sessions
from pipelines.train.params import TrainParams
from pipelines.train.progress import Progress
from pipelines.train.steps import DivergedError, Stepper
from pipelines.train.validate import sessions_to_validate, validate

CHOICE = "mrr_at_20"
"""The validation metric that chooses the epoch."""


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv."""

    epoch: int
    train_loss: float
    valid_mrr_at_20: float
    valid_recall_at_20: float
    events_per_s: float


@dataclass
class Fit:
    """What training leaves behind; the model itself holds the best weights."""

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    padding_share: float | None = None
    """Share of the places in the batches that hold no event; None for counting models, which are not cut into batches."""
    train_seconds: float = 0.0


def fit(model: SessionModel, data: Sessions, train: TrainParams) -> Iterator[Fit]:
    """Train in place; after every epoch the result so far. At the end the model holds the best epoch's weights."""
    sessions, valid = data.of(TRAIN, at_least=2), sessions_to_validate(data, VALID)
    if len(sessions) == 0:
        raise DataError("there is no training session with two events or more", "data/etl", "give more days of events")
    stepper = Stepper(model, data, sessions, train)
    result, best = Fit(), copy.deepcopy(model.state_dict())
    for epoch in range(1, train.max_epochs + 1):
        progress = Progress(f"epoch {epoch}/{train.max_epochs}", stepper.events)
        try:
            loss = stepper.epoch(epoch, progress)
        except DivergedError:
            model.load_state_dict(best)
            raise
        rate, seconds = progress.rate(), progress.seconds()
        with stepper.average.in_place():
            measured = validate(model, data, valid, train.validate_on == "last_item")
            better = not result.best_epoch or measured[CHOICE] > result.metrics[CHOICE]
            if better:
                result.best_epoch, result.metrics, best = epoch, measured, copy.deepcopy(model.state_dict())
        result.history.append(Epoch(epoch, loss, measured[CHOICE], measured["recall_at_20"], rate))
        result.train_seconds += seconds
        result.padding_share = 1 - stepper.events * epoch / stepper.places
        progress.end(
            f"loss {loss:.4f}  valid MRR@20 {measured[CHOICE]:.4f}  Recall@20 {measured['recall_at_20']:.4f}  "
            f"{rate:,.0f} events/s{'  best so far' if better else ''}"
        )
        yield result
        if train.patience <= epoch - result.best_epoch and epoch < train.max_epochs:
            progress.end(f"is the last: no better one in {train.patience}")
            break
    model.load_state_dict(best)
    model.eval()


def refit(model: SessionModel, data: Sessions, train: TrainParams, epochs: int) -> Iterator[float]:
    """Train an untrained model in place on training and validation sessions; the loss of each epoch.

    As many epochs as were best, along the same schedule: what was measured is what is done again.
    """
    stepper = Stepper(model, data, data.of(TRAIN, VALID, at_least=2), train)
    for epoch in range(1, epochs + 1):
        progress = Progress(f"refit epoch {epoch}/{epochs}", stepper.events)
        loss = stepper.epoch(epoch, progress)
        progress.end(f"loss {loss:.4f}  {progress.rate():,.0f} events/s")
        yield loss
    stepper.average.keep()
    model.eval()
