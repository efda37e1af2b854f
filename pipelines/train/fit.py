"""The training loop: epochs over batches cut by index, early stopping on validation MRR@20, the best weights kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from models.core.base import SessionModel
from models.core.batch import SessionBatch
from pipelines.errors import DataError, ParamsError
from pipelines.split import TRAIN, VALID
from pipelines.stores.sessions import Sessions
from pipelines.train.batches import by_length
from pipelines.train.optimizer import adamw, schedule
from pipelines.train.params import TrainParams
from pipelines.train.progress import Progress
from pipelines.train.validate import sessions_to_validate, validate

CHOICE = "mrr_at_20"
"""The validation metric that chooses the epoch."""
CHECK_EVERY = 50
"""Batches between two looks at the losses: each look waits for the device."""


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


class DivergedError(DataError):
    """The loss is no number any more; the model holds the best weights of the epochs before."""


def fit(model: SessionModel, data: Sessions, train: TrainParams) -> Iterator[Fit]:
    """Train in place; after every epoch the result so far. At the end the model holds the best epoch's weights."""
    sessions, valid = data.of(TRAIN, at_least=2), sessions_to_validate(data, VALID)
    if len(sessions) == 0:
        raise DataError("there is no training session with two events or more", "data/etl", "give more days of events")
    steps = train.max_epochs * -(-len(sessions) // train.batch_size)
    stepper = Stepper(model, data, sessions, train, steps)
    result, best = Fit(), copy.deepcopy(model.state_dict())
    for epoch in range(1, train.max_epochs + 1):
        progress = Progress(f"epoch {epoch}/{train.max_epochs}", stepper.events)
        try:
            loss = stepper.epoch(epoch, progress)
        except DivergedError:
            model.load_state_dict(best)
            raise
        rate, seconds = progress.rate(), progress.seconds()
        measured = validate(model, data, valid)
        result.history.append(Epoch(epoch, loss, measured[CHOICE], measured["recall_at_20"], rate))
        result.train_seconds += seconds
        result.padding_share = 1 - stepper.events * epoch / stepper.places
        if not result.best_epoch or measured[CHOICE] > result.metrics[CHOICE]:
            result.best_epoch, result.metrics, best = epoch, measured, copy.deepcopy(model.state_dict())
        progress.end(
            f"loss {loss:.4f}  valid MRR@20 {measured[CHOICE]:.4f}  Recall@20 {measured['recall_at_20']:.4f}  "
            f"{rate:,.0f} events/s{'  best so far' if result.best_epoch == epoch else ''}"
        )
        yield result
        if train.patience <= epoch - result.best_epoch and epoch < train.max_epochs:
            progress.end(f"is the last: no better one in {train.patience}")
            break
    model.load_state_dict(best)
    model.eval()


class Stepper:
    """Optimizer steps over the training sessions, epoch by epoch."""

    def __init__(self, model: SessionModel, data: Sessions, sessions: Int[Tensor, "n"], train: TrainParams, steps: int) -> None:
        self.model, self.data, self.sessions, self.train = model, data, sessions, train
        self.lengths, self.device = data.lengths[sessions], data.items.device
        self.events, self.places = int(self.lengths.sum()), 0
        self.optimizer = adamw(model, train)
        self.schedule = schedule(self.optimizer, train, steps)
        self.generator = torch.Generator().manual_seed(train.seed)
        auto = train.precision == "auto" and multiplies_bfloat16(self.device)
        self.bfloat16 = auto or train.precision == "bfloat16"

    def epoch(self, epoch: int, progress: Progress) -> float:
        """One pass; its mean loss. DivergedError if a loss is no number, ParamsError if memory does not suffice."""
        self.model.train()
        losses: list[Tensor] = []
        with _memory_explained(self.train):
            parts = by_length(self.sessions, self.lengths, self.train.batch_size, self.generator)
            for number, part in enumerate(parts, 1):
                batch = self.data.batch(part)
                losses.append(self.step(batch))
                self.places += batch.items.numel()
                if progress.add(int(batch.lengths.sum())):
                    progress.show(float(losses[-1]))
                if number % CHECK_EVERY == 0:
                    self.check(losses, epoch)
        self.check(losses, epoch)
        return float(torch.stack(losses).double().mean())

    def step(self, batch: SessionBatch) -> Tensor:
        """One optimizer step; the loss stays on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = self.model.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.train.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def check(self, losses: list[Tensor], epoch: int) -> None:
        """DivergedError names the first loss that is no number."""
        wrong = (~torch.isfinite(torch.stack(losses))).nonzero()
        if len(wrong):
            number, train = int(wrong[0]) + 1, self.train
            raise DivergedError(
                f"the loss is {float(losses[number - 1])} at batch {number} of epoch {epoch}",
                f"train.learning_rate = {train.learning_rate}, clip_norm = {train.clip_norm}, precision = {train.precision}",
                "lower train.learning_rate or train.clip_norm",
            )


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has units for it: every CUDA card of the last years, CPUs with AVX512_BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    there = torch.cpu.get_capabilities()
    return bool(there.get("avx512_bf16") or there.get("amx_bf16"))


@contextmanager
def _memory_explained(train: TrainParams) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch raises its OutOfMemoryError on CUDA, a plain RuntimeError on the CPU
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            why = " ".join(str(error).split())[:300]
            raise ParamsError(
                "out of memory while training", f"train.batch_size = {train.batch_size}: {why}", "lower train.batch_size"
            ) from None
        raise
