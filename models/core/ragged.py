"""Rows of different lengths as one flat tensor: no place is spent on padding.

Shapes  R rows, N = the sum of their lengths.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def starts(lengths: Int[Tensor, "R"]) -> Int[Tensor, "R+1"]:
    """Where each row begins, and where the last one ends."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def expand(lengths: Int[Tensor, "R"]) -> tuple[Int[Tensor, "N"], Int[Tensor, "N"]]:
    """The row of each flat element, and its place within the row.

    The size of the result is read from the device: one wait. torch.repeat_interleave has no ONNX form with tensor lengths.
    """
    begin_R = lengths.cumsum(0) - lengths
    total = lengths.sum().item()  # a symbol while a graph is exported: int() would ask for its value
    torch._check(total >= 0)
    begins_N = lengths.new_zeros(total + 1).scatter_add(0, begin_R, torch.ones_like(begin_R))
    row_N = begins_N.cumsum(0)[:-1] - 1
    return row_N, torch.arange(total, device=lengths.device) - begin_R[row_N]
