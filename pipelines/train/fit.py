"""The training loop: epochs, early stopping on validation MRR@20, the best weights kept; and the refit on all days."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from models.core.base import SessionModel
from pipelines.errors import DataError
from pipelines.split import TRAIN, VALID
from pipelines.stores.sessions import Sessions
from pipelines.train.checkpoint import Checkpoint, State, under
from pipelines.train.distributed import ALONE, Processes
from pipelines.train.params import TrainParams
from pipelines.train.progress import Progress
from pipelines.train.steps import DivergedError, Stepper
from pipelines.train.validate import sessions_to_validate, validate

CHOICE = "mrr_at_20"
"""The validation metric that chooses the epoch."""
FIT, REFIT = "fit", "refit"
"""Phases of a training, as checkpoints name them."""


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

    def over(self, train: TrainParams) -> bool:
        """Whether no epoch follows."""
        epochs = len(self.history)
        return epochs == train.max_epochs or (epochs > 0 and train.patience <= epochs - self.best_epoch)

    def better(self, measured: Mapping[str, float]) -> bool:
        """Whether these figures beat those of every epoch so far."""
        return not self.best_epoch or measured[CHOICE] > self.metrics[CHOICE]


def fit(
    model: SessionModel, data: Sessions, train: TrainParams, group: Processes = ALONE, checkpoint: Checkpoint | None = None
) -> Iterator[Fit]:
    """Train in place; after every epoch the result so far, and first of all the checkpoint's, if there is one.

    At the end the model holds the best epoch's weights.
    """
    sessions, valid = data.of(TRAIN, at_least=2), sessions_to_validate(data, VALID)
    if len(sessions) == 0:
        raise DataError("there is no training session with two events or more", "data/etl", "give more days of events")
    stepper = Stepper(model, data, sessions, train, group)
    result, best = Fit(), copy.deepcopy(model.state_dict())
    if found := checkpoint and checkpoint.found:
        result, best = read_fit(found.values["fit"]), found.part("best")
        if found.values["phase"] == FIT:
            stepper.restore(found)
        yield result
    while not result.over(train):
        epoch = len(result.history) + 1
        progress = Progress(f"epoch {epoch}/{train.max_epochs}", stepper.events, silent=not group.first)
        try:
            loss = stepper.epoch(epoch, progress)
        except DivergedError:
            model.load_state_dict(best)
            raise
        rate, seconds = progress.rate(), progress.seconds()
        with stepper.average.in_place():
            measured = validate(model, data, valid, train.validate_on == "last_item", group)
            better = result.better(measured)
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
        if checkpoint and (train.refit or not result.over(train)):
            keep(checkpoint, group, FIT, stepper, result, best)
        if result.over(train) and epoch < train.max_epochs:
            progress.end(f"is the last: no better one in {train.patience}")
    model.load_state_dict(best)
    model.eval()


def refit(
    model: SessionModel,
    data: Sessions,
    train: TrainParams,
    result: Fit,
    best: Mapping[str, Tensor],
    group: Processes = ALONE,
    checkpoint: Checkpoint | None = None,
) -> Iterator[tuple[int, float]]:
    """Train an untrained model in place on training and validation sessions; number and loss of each epoch.

    As many epochs as were best, along the same schedule: what was measured is what is done again. `result` and `best`, the
    weights that were measured, stand in the checkpoints.
    """
    stepper, done = Stepper(model, data, data.of(TRAIN, VALID, at_least=2), train, group), 0
    if (found := checkpoint and checkpoint.found) and found.values["phase"] == REFIT:
        stepper.restore(found)
        done = found.values["refitted"]
    for epoch in range(done + 1, result.best_epoch + 1):
        title = f"refit epoch {epoch}/{result.best_epoch}"
        progress = Progress(title, stepper.events, silent=not group.first)
        loss = stepper.epoch(epoch, progress)
        progress.end(f"loss {loss:.4f}  {progress.rate():,.0f} events/s")
        yield epoch, loss
        if checkpoint and epoch < result.best_epoch:
            keep(checkpoint, group, REFIT, stepper, result, best, epoch)
    stepper.average.keep()
    model.eval()


def keep(
    checkpoint: Checkpoint,
    group: Processes,
    phase: str,
    stepper: Stepper,
    result: Fit,
    best: Mapping[str, Tensor],
    refitted: int = 0,
) -> None:
    """Write where the training stands."""
    state = stepper.state()
    if group.first:
        values = {**state.values, "phase": phase, "fit": asdict(result), "refitted": refitted}
        checkpoint.save(State({**state.tensors, **under("best", best)}, values))


def read_fit(values: Mapping[str, Any]) -> Fit:
    """The reverse of `asdict`."""
    return Fit(**{**values, "history": [Epoch(**row) for row in values["history"]]})
