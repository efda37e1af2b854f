"""Optimizer steps over the training sessions, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from models.core.base import SessionModel
from models.core.batch import SessionBatch
from pipelines.errors import DataError, ParamsError
from pipelines.stores.sessions import Sessions
from pipelines.train.average import Average
from pipelines.train.batches import Part, plan
from pipelines.train.optimizer import Steps
from pipelines.train.params import TrainParams
from pipelines.train.progress import Progress

CHECK_EVERY = 50
"""Batches between two looks at the losses: each look waits for the device."""


class DivergedError(DataError):
    """The loss is no number any more; the model holds the best weights of the epochs before."""


class Stepper:
    """Model, optimizer, schedule and running average, moved on by whole epochs."""

    def __init__(self, model: SessionModel, data: Sessions, sessions: Int[Tensor, "n"], train: TrainParams) -> None:
        self.model, self.data, self.sessions, self.train = model, data, sessions, train
        self.device = data.items.device
        self.numbers, self.lengths = sessions.cpu().numpy(), data.lengths[sessions].cpu().numpy()
        self.events, self.places, self.seen = int(self.lengths.sum()), 0, 0
        self.steps, self.average = Steps(model, train), Average(model, train.average_decay)
        self.generator = torch.Generator().manual_seed(train.seed)
        auto = train.precision == "auto" and multiplies_bfloat16(self.device)
        self.bfloat16 = auto or train.precision == "bfloat16"

    def epoch(self, epoch: int, progress: Progress) -> float:
        """One pass; its mean loss. DivergedError if a loss is no number, ParamsError if memory does not suffice."""
        self.model.train()
        losses: list[Tensor] = []
        with _memory_explained(self.train):
            for part, batch in self.batches():
                losses.append(self.step(batch, part.events))
                if progress.add(part.events):
                    progress.show(float(losses[-1]))
                if len(losses) % CHECK_EVERY == 0:
                    self.check(losses, epoch, len(losses) - CHECK_EVERY)
        self.check(losses, epoch, len(losses) // CHECK_EVERY * CHECK_EVERY)
        return float(torch.stack(losses).double().mean())

    def batches(self) -> Iterator[tuple[Part, SessionBatch]]:
        """Of one epoch; the device hears once which sessions they hold."""
        parts = plan(self.numbers, self.lengths, self.train.batch_events, self.generator)
        order = torch.from_numpy(np.concatenate([part.sessions for part in parts])).to(self.device)
        self.places += sum(part.places for part in parts)
        for part, sessions in zip(parts, torch.split(order, [len(part.sessions) for part in parts]), strict=True):
            yield part, self.data.batch(sessions, part.longest, part.targets)

    def step(self, batch: SessionBatch, events: int) -> Tensor:
        """One optimizer step over so many events; the loss stays on the device."""
        self.steps.clear()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = self.model.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        done = (self.seen + events / 2) / (self.events * self.train.max_epochs)
        self.steps.step(min(done, 1.0))
        self.seen += events
        self.average.update()
        return loss.detach()

    def check(self, losses: list[Tensor], epoch: int, first: int = 0) -> None:
        """DivergedError names the first loss that is no number; those before `first` are known to be numbers."""
        new = losses[first:]
        wrong = (~torch.isfinite(torch.stack(new))).nonzero().flatten().tolist() if new else []
        if wrong:
            number, train = first + wrong[0] + 1, self.train
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
                "out of memory while training", f"train.batch_events = {train.batch_events}: {why}", "lower train.batch_events"
            ) from None
        raise
