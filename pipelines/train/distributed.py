"""Several processes, one training: `torchrun --nproc-per-node 2 -m pipelines train gru4rec`.

Every process has the whole data set and plans the same batches; each takes its share of every batch. Gradients are
weighted by targets and summed, so that all take the step that one process would take, up to rounding and dropout.
A process that fails is an error of torchrun, which ends the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """The one that writes files and talks to MLflow and to people."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Of all processes, the same bits in each."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def sum_gradients(self, parameters: list[nn.Parameter]) -> None:
        """One message; who has no gradient adds nothing to it."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        whole = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(whole, [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view_as(like) for part, like in zip(parts, gradients, strict=True)])

    def gather(self, values: Tensor) -> Tensor:
        """The values [n] of all processes, n may differ, one process after the other."""
        if self.size == 1:
            return values
        counts = torch.zeros(self.size, dtype=torch.int64, device=values.device)
        counts[self.rank] = len(values)
        longest = int(self.sum(counts).max())
        padded = torch.cat([values, values.new_zeros(longest - len(values))])
        found = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(found, padded)
        return torch.cat([part[:count] for part, count in zip(found, counts.tolist(), strict=True)])


ALONE = Processes()


def local_rank() -> int:
    """Which of this machine's processes, and so of its GPUs, this one is."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Those that torchrun started, joined within the block; without torchrun, this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
