"""What the machine has for a stage that computes with tensors: its device, and memory that is used again."""

from __future__ import annotations

import ctypes

import torch

from pipelines.errors import ParamsError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Names and numbers of <malloc.h>."""
BLOCK = 2**30
"""Smaller pieces of memory come from the process's own heap."""
KEPT = 2**31 - 1
"""Of the heap's end so many free bytes stay with the process."""
MORE = 2**26
"""When the heap must grow, it grows by so many bytes beyond what was asked for."""


def choose_device(asked: str, setting: str) -> torch.device:
    """auto, cpu or cuda. ParamsError if that is not there; it names the setting."""
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise ParamsError("there is no CUDA device", f"{setting} = cuda", f"set {setting}: auto, or run on a GPU machine")
    return torch.device("cuda" if there and asked != "cpu" else "cpu")


def keep_memory() -> bool:
    """Memory that tensors on the CPU gave back is used again, not returned to the kernel; whether this C library can do so.

    By default every tensor of some hundred kilobytes is new memory, which the kernel hands over zeroed, page by page, at the
    first touch: a third of the time of a small training step. The price: the process stays as large as it once was.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False  # no glibc: musl and macOS have no such switch
    values = {M_MMAP_THRESHOLD: BLOCK, M_TRIM_THRESHOLD: KEPT, M_TOP_PAD: MORE}
    return all(mallopt(name, value) == 1 for name, value in values.items())
