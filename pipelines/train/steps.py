"""Optimizer steps over the training sessions, epoch by epoch, alone or as one of several processes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from models.core.base import SessionModel
from models.core.batch import SessionBatch
from pipelines.errors import DataError
from pipelines.stores.sessions import Sessions
from pipelines.train.average import Average
from pipelines.train.batches import Part, by_size, plan
from pipelines.train.checkpoint import State, under
from pipelines.train.distributed import ALONE, Processes
from pipelines.train.machine import compile_blocks, compiler_explained, memory_explained, multiplies_bfloat16
from pipelines.train.optimizer import Steps
from pipelines.train.params import TrainParams
from pipelines.train.progress import Progress

CHECK_EVERY = 50
"""Batches between two looks at the losses: each look waits for the device."""


class DivergedError(DataError):
    """The loss is no number any more; the model holds the best weights of the epochs before."""


class Stepper:
    """Model, optimizer, schedule and running average, moved on by whole epochs."""

    def __init__(
        self,
        model: SessionModel,
        data: Sessions,
        sessions: Int[Tensor, "n"],
        train: TrainParams,
        group: Processes = ALONE,
    ) -> None:
        self.model, self.data, self.train, self.group = model, data, train, group
        self.device = data.items.device
        self.numbers, self.lengths = sessions.cpu().numpy(), data.lengths[sessions].cpu().numpy()
        self.events, self.places, self.seen = int(self.lengths.sum()), 0, 0
        self.batch_events = train.batch_events or by_size(self.events)
        learning_rate = train.learning_rate or model.learning_rate
        self.steps, self.average = Steps(model, train, learning_rate), Average(model, train.average_decay)
        self.compiled = compile_blocks(model) if train.compile else 0
        self.generator = torch.Generator().manual_seed(train.seed)
        if not group.first:
            torch.manual_seed(train.seed + group.rank)  # or all would drop the same places of different sessions
        auto = train.precision == "auto" and multiplies_bfloat16(self.device)
        self.bfloat16 = auto or train.precision == "bfloat16"

    def epoch(self, epoch: int, progress: Progress) -> float:
        """One pass; its mean loss. DivergedError if a loss is no number, ParamsError if memory does not suffice."""
        self.model.train()
        losses: list[Tensor] = []
        with memory_explained(self.batch_events), compiler_explained():
            for part, batch in self.batches():
                losses.append(self.step(batch, part))
                if progress.add(part.events):
                    progress.show(float(losses[-1]))
                if len(losses) % CHECK_EVERY == 0:
                    self.check(losses, epoch, len(losses) - CHECK_EVERY)
        self.check(losses, epoch, len(losses) // CHECK_EVERY * CHECK_EVERY)
        return float(torch.stack(losses).double().mean())

    def batches(self) -> Iterator[tuple[Part, SessionBatch]]:
        """Of one epoch: the whole part, and this process's share of it; the device hears once which sessions these are."""
        parts = plan(self.numbers, self.lengths, self.batch_events, self.generator)
        shares = [part.share(self.group.rank, self.group.size) for part in parts]
        order = torch.from_numpy(np.concatenate([share.sessions for share in shares])).to(self.device)
        self.places += sum(part.places for part in parts)
        cut = torch.split(order, [len(share.sessions) for share in shares])
        for part, share, sessions in zip(parts, shares, cut, strict=True):
            yield part, self.data.batch(sessions, share.longest, share.targets)

    def step(self, batch: SessionBatch, part: Part) -> Tensor:
        """One optimizer step over the part, of which the batch is this process's share; the loss stays on the device."""
        self.steps.clear()
        loss = torch.zeros((), device=self.device)
        if len(batch):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                loss = self.model.loss(batch)
            if self.group.size > 1:
                loss = loss * (part.share(self.group.rank, self.group.size).targets / part.targets)
            loss.backward()  # type: ignore[no-untyped-call]
        self.group.sum_gradients(self.steps.parameters)
        done = (self.seen + part.events / 2) / (self.events * self.train.max_epochs)
        self.steps.step(min(done, 1.0))
        self.seen += part.events
        self.average.update()
        return self.group.sum(loss.detach())

    def state(self) -> State:
        """All that the next epoch depends on; every process must ask for it, for each has random numbers of its own."""
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else torch.zeros(0, dtype=torch.uint8)
        random = {
            "batches": self.generator.get_state(),
            "cpu": self.group.gather(torch.get_rng_state().to(self.device)),
            "cuda": self.group.gather(cuda.to(self.device)),
        }
        tensors = {
            **under("model", self.model.state_dict()),
            **under("average", {str(place): mean for place, mean in enumerate(self.average.means)}),
            **under("steps", self.steps.state()),
            **under("random", random),
        }
        return State(tensors, {"seen": self.seen, "places": self.places, "averaged": self.average.steps})

    def restore(self, state: State) -> None:
        """Go on from there."""
        self.model.load_state_dict(state.part("model"))
        for place, mean in enumerate(self.average.means):
            mean.copy_(state.tensors[f"average.{place}"])
        self.steps.restore(state.part("steps"))
        random = state.part("random")
        own = {name: random[name].chunk(self.group.size)[self.group.rank].clone() for name in ("cpu", "cuda")}  # no view is taken
        self.generator.set_state(random["batches"])
        torch.set_rng_state(own["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(own["cuda"], self.device)
        self.seen, self.places, self.average.steps = (state.values[name] for name in ("seen", "places", "averaged"))

    def check(self, losses: list[Tensor], epoch: int, first: int = 0) -> None:
        """DivergedError names the first loss that is no number; those before `first` are known to be numbers."""
        new = losses[first:]
        wrong = (~torch.isfinite(torch.stack(new))).nonzero().flatten().tolist() if new else []
        if wrong:
            number, train = first + wrong[0] + 1, self.train
            raise DivergedError(
                f"the loss is {float(losses[number - 1])} at batch {number} of epoch {epoch}",
                f"train.learning_rate = {self.steps.learning_rate}, clip_norm = {train.clip_norm}, precision = {train.precision}",
                "lower train.learning_rate or train.clip_norm",
            )
