"""Rows of different lengths as one flat tensor: no place is spent on padding.

Shapes  R rows, N = the sum of their lengths.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Int
from torch import Tensor


def starts(lengths: Int[Tensor, "R"]) -> Int[Tensor, "R+1"]:
    """Where each row begins, and where the last one ends."""
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def expand(begins: Int[Tensor, "*R"], lengths: Int[Tensor, "*R"]) -> tuple[Int[Tensor, "N"], Int[Tensor, "N"]]:
    """Each row r as the numbers begins[r] .. begins[r] + lengths[r] - 1, and the row of each.

    The size of the result is read from the device: one wait. torch.repeat_interleave has no ONNX form with tensor lengths.
    """
    lengths_R = lengths.flatten()
    flat_R = lengths_R.cumsum(0) - lengths_R
    total = cast("int", lengths_R.sum().item())  # a symbol while a graph is exported: int() would ask for its value
    begun_N = torch.zeros(total + 1, dtype=torch.int64, device=lengths.device).scatter_add(0, flat_R, torch.ones_like(flat_R))
    row_N = begun_N.cumsum(0)[:-1] - 1
    shift_R = begins.flatten() - flat_R
    return row_N, torch.arange(total, device=lengths.device) + shift_R.index_select(0, row_N)
