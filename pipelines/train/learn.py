"""Train or count a model, and do it again with the validation sessions if the settings say so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from models.core.base import CountingModel, SessionModel
from models.core.config import Config
from pipelines.errors import DataError
from pipelines.paths import ETL
from pipelines.split import TRAIN, VALID
from pipelines.stores import tracking, weights
from pipelines.stores.sessions import Sessions
from pipelines.train.checkpoint import Checkpoint
from pipelines.train.distributed import Processes
from pipelines.train.fit import Epoch, Fit, fit, refit
from pipelines.train.params import TrainParams
from pipelines.train.steps import DivergedError
from pipelines.train.validate import sessions_to_validate, validate

LAST_GOOD = "last_good"
"""Folder beside the results that keeps the weights of a training that diverged."""


@dataclass(frozen=True)
class Lesson:
    """Which model learns what, how and where."""

    name: str
    kind: type[SessionModel]
    config: Config
    data: Sessions
    train: TrainParams
    device: torch.device
    group: Processes

    def untrained(self, *splits: int) -> SessionModel:
        """The same for the same seed. It is told the counts of the splits it is going to learn."""
        torch.manual_seed(self.train.seed)
        model = self.kind(self.config, self.data.features).to(self.device)
        model.know(self.data.counts(*splits), self.data.item_values(*splits))
        return model


def learn(lesson: Lesson, folder: Path, kept: Checkpoint | None, run: tracking.Run | None) -> tuple[SessionModel, Fit]:
    """Count or train. A training that diverges leaves its last good weights in `last_good`."""
    model, data, train = lesson.untrained(TRAIN), lesson.data, lesson.train
    if isinstance(model, CountingModel):
        seconds, rate = count(model, data, TRAIN)
        valid = sessions_to_validate(data, VALID)
        measured = validate(model, data, valid, train.validate_on == "last_item", lesson.group)
        row = Epoch(1, float("nan"), measured["mrr_at_20"], measured["recall_at_20"], rate)
        return model, Fit([row], 1, measured, None, seconds)
    result, told = Fit(), 0
    with last_good_kept(lesson, model, folder):
        for result in fit(model, data, train, lesson.group, kept):
            if run:
                first = told == 0 and kept is not None and kept.found is not None
                for epoch in [] if first and run.goes_on else result.history[told:]:  # an old run knows the old epochs
                    values = {key: value for key, value in asdict(epoch).items() if key != "epoch"}
                    run.metrics(values, step=epoch.epoch)
            told = len(result.history)
    return model, result


def learn_again(
    lesson: Lesson, good: SessionModel, result: Fit, folder: Path, kept: Checkpoint | None, run: tracking.Run | None
) -> SessionModel:
    """Count or train with the validation sessions. The weights that were validated, `good`, are kept if that diverges."""
    model, data = lesson.untrained(TRAIN, VALID), lesson.data
    if isinstance(model, CountingModel):
        count(model, data, TRAIN, VALID)
        return model
    best = good.state_dict()
    with last_good_kept(lesson, good, folder):
        for epoch, loss in refit(model, data, lesson.train, result, best, lesson.group, kept):
            if run:
                run.metrics({"refit_train_loss": loss}, step=epoch)
    return model


@contextmanager
def last_good_kept(lesson: Lesson, model: SessionModel, folder: Path) -> Iterator[None]:
    """A training that diverges within the block leaves this model in `last_good`."""
    try:
        yield
    except DivergedError as error:
        if lesson.group.first:
            weights.save(lesson.name, model, folder / LAST_GOOD)
        good = f"the last good weights lie in {folder / LAST_GOOD}"
        raise DataError(error.what, error.where, f"{error.next_step}; {good}") from None


def count(model: CountingModel, data: Sessions, *splits: int) -> tuple[float, float]:
    """One pass over all sessions of those splits; seconds and events per second."""
    sessions = data.of(*splits)
    if len(sessions) == 0:
        raise DataError("there is no training session", str(ETL), "give more days of events")
    begin = time.monotonic()
    batch = data.batch(sessions)
    model.fit(batch)
    seconds = time.monotonic() - begin
    return seconds, int(batch.lengths.sum()) / max(seconds, 1e-9)
