"""What the machine can do for a training, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from pipelines.errors import ParamsError
from pipelines.machine import choose_device
from pipelines.train.params import TrainParams


def device_of(train: TrainParams, rank: int = 0) -> torch.device:
    """The device of the settings; of several GPUs the one of that number. ParamsError if it is not there."""
    device = choose_device(train.device, "train.device")
    if device.type == "cpu":
        return device
    if rank >= torch.cuda.device_count():
        raise ParamsError(
            f"process {rank + 1} has no CUDA device of its own",
            f"this machine has {torch.cuda.device_count()}",
            "start torchrun with --nproc-per-node as many as there are, or set train.device: cpu",
        )
    return torch.device("cuda", rank)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has units for it: every CUDA card of the last years, CPUs with AVX512_BF16 or AMX."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    there = torch.cpu.get_capabilities()
    return bool(there.get("avx512_bf16") or there.get("amx_bf16"))


def compile_blocks(model: nn.Module) -> int:
    """torch.compile, in place, of the blocks a model stacks; their number.

    The losses are written by hand in chunks, an RNN is a kernel of its own: compiled too, they took a minute for each new
    shape on a CPU and were no faster after it.
    """
    stacked = [block for stack in model.modules() if isinstance(stack, nn.ModuleList) for block in stack]
    blocks = [block for block in stacked if any(True for _ in block.children()) and not _has_rnn(block)]
    for block in blocks:
        block.compile(dynamic=True)
    return len(blocks)


def _has_rnn(block: nn.Module) -> bool:
    return any(isinstance(module, nn.RNNBase) for module in block.modules())


@contextmanager
def compiler_explained() -> Iterator[None]:
    """No compiler, or one that fails, names the setting to change."""
    try:
        yield
    except torch._dynamo.exc.TorchDynamoException as error:
        raise ParamsError(
            "the model's blocks could not be compiled",
            f"train.compile = true: {' '.join(str(error).split())[:300]}",
            "set train.compile: false, or install a compiler (CPU: g++; CUDA: triton)",
        ) from None


@contextmanager
def memory_explained(batch_events: int) -> Iterator[None]:
    """Out of memory names the setting to lower."""
    try:
        yield
    except RuntimeError as error:  # torch raises its OutOfMemoryError on CUDA, a plain RuntimeError on the CPU
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            why = " ".join(str(error).split())[:300]
            raise ParamsError(
                "out of memory while training", f"train.batch_events = {batch_events}: {why}", "lower train.batch_events"
            ) from None
        raise
