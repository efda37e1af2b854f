"""The training loop: epochs over batches cut by index, early stopping on validation MRR@20, the best weights kept."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from models.core.base import SessionModel
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
    padding_share: float = 0.0
    train_seconds: float = 0.0


class DivergedError(DataError):
    """The loss is no number any more; the model holds the best weights of the epochs before."""


def fit(model: SessionModel, data: Sessions, train: TrainParams) -> Iterator[Fit]:
    """Train in place; after every epoch the result so far. At the end the model holds the best epoch's weights."""
    sessions, valid = data.of(TRAIN, at_least=2), sessions_to_validate(data, VALID)
    if len(sessions) == 0:
        raise DataError("there is no training session with two events or more", "data/etl", "give more days of events")
    lengths, device = data.lengths[sessions], data.items.device
    steps = train.max_epochs * _batches(len(sessions), train.batch_size)
    optimizer = adamw(model, train)
    planner = schedule(optimizer, train, steps)
    generator = torch.Generator().manual_seed(train.seed)
    bfloat16 = train.precision == "bfloat16" or (train.precision == "auto" and multiplies_bfloat16(device))
    result, best = Fit(), copy.deepcopy(model.state_dict())
    places, events = 0, int(lengths.sum())
    for epoch in range(1, train.max_epochs + 1):
        model.train()
        progress = Progress(f"epoch {epoch}/{train.max_epochs}", events)
        losses: list[Tensor] = []
        with _memory_explained(train):
            for number, part in enumerate(by_length(sessions, lengths, train.batch_size, generator), 1):
                batch = data.batch(part)
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                    loss = model.loss(batch)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip_norm)
                optimizer.step()
                planner.step()
                losses.append(loss.detach())
                places += batch.items.numel() if epoch == 1 else 0
                if progress.add(int(batch.lengths.sum())):
                    progress.show(float(losses[-1]))
                if number % CHECK_EVERY == 0:
                    _check(losses, epoch, model, best, train)
        _check(losses, epoch, model, best, train)
        rate, seconds = progress.rate(), time.monotonic() - progress.begin
        measured = validate(model, data, valid)
        mean = float(torch.stack(losses).double().mean())
        result.history.append(Epoch(epoch, mean, measured[CHOICE], measured["recall_at_20"], rate))
        result.train_seconds += seconds
        result.padding_share = 1 - events / places
        if not result.best_epoch or measured[CHOICE] > result.metrics[CHOICE]:
            result.best_epoch, result.metrics, best = epoch, measured, copy.deepcopy(model.state_dict())
        progress.end(
            f"loss {mean:.4f}  valid MRR@20 {measured[CHOICE]:.4f}  Recall@20 {measured['recall_at_20']:.4f}  "
            f"{rate:,.0f} events/s{'  best so far' if result.best_epoch == epoch else ''}"
        )
        yield result
        if epoch - result.best_epoch >= train.patience:
            print(f"no better epoch in {train.patience}: stopped", flush=True)
            break
    model.load_state_dict(best)
    model.eval()


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has units for it: every CUDA card of the last years, CPUs with AVX512_BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    there = torch.cpu.get_capabilities()
    return bool(there.get("avx512_bf16") or there.get("amx_bf16"))


def _batches(sessions: int, batch_size: int) -> int:
    """Batches of an epoch: every pool of `by_length` but the last is full."""
    return -(-sessions // batch_size)


def _check(losses: list[Tensor], epoch: int, model: SessionModel, best: Mapping[str, Any], train: TrainParams) -> None:
    """DivergedError if a loss is no number; names the first one, and puts the last good weights back into the model."""
    finite = torch.isfinite(torch.stack(losses))
    if bool(finite.all()):
        return
    model.load_state_dict(best)
    number = int((~finite).nonzero()[0]) + 1
    raise DivergedError(
        f"the loss is {float(losses[number - 1])} at batch {number} of epoch {epoch}",
        f"train.learning_rate = {train.learning_rate}, train.clip_norm = {train.clip_norm}, train.precision = {train.precision}",
        "lower train.learning_rate or train.clip_norm",
    )


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
