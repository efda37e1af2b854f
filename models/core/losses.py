"""Losses over all items."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.core.batch import PADDING

NUMBERS_AT_ONCE = {"cpu": 2**21, "cuda": 2**28}
"""Logits held at once: on a CPU so many that they stay in its cache, on a GPU so few that they fit beside the model."""


def full_softmax(
    states: Float[Tensor, "P D"], table: Float[Tensor, "V D"], bias: Float[Tensor, "V"], targets: Int[Tensor, "P"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the targets over all items; padding takes no part. Memory does not grow with P."""
    loss: Tensor = _FullSoftmax.apply(states, table, bias, targets)  # type: ignore[no-untyped-call]
    return loss


class _FullSoftmax(torch.autograd.Function):
    """Gradients are made part by part beside the loss: the logits are never kept, nor read again from far memory."""

    @staticmethod
    def forward(ctx: Any, states_PD: Tensor, table_VD: Tensor, bias_V: Tensor, targets_P: Tensor) -> Tensor:
        device, exact = states_PD.device.type, torch.promote_types(states_PD.dtype, torch.float32)
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else table_VD.dtype
        states_low_PD, table_low_VD, bias_low_V = states_PD.to(low), table_VD.to(low), bias_V.to(low)
        grad_PD, grad_VD, grad_V = (torch.zeros_like(like) for like in (states_PD, table_VD, bias_V))
        total, share = states_PD.new_zeros((), dtype=exact), 1 / max(len(states_PD), 1)
        rows = max(1, NUMBERS_AT_ONCE.get(device, 2**21) // len(table_VD))
        with torch.autocast(device, enabled=False):
            for begin in range(0, len(states_PD), rows):
                part = slice(begin, begin + rows)
                target_C1 = targets_P[part, None]
                logits_CV = torch.addmm(bias_low_V, states_low_PD[part], table_low_VD.T)
                logits_CV[:, PADDING] = float("-inf")
                best_C1, at_C1 = logits_CV.max(1, keepdim=True)
                own_C1 = logits_CV.gather(1, target_C1).to(exact)
                softmax_CV = torch.softmax(logits_CV, 1, dtype=exact)
                total += (best_C1.to(exact) - softmax_CV.gather(1, at_C1).log() - own_C1).sum()
                wrong_CV = softmax_CV.scatter_add_(1, target_C1, torch.full_like(own_C1, -1))
                grad_V += wrong_CV.sum(0)
                wrong_low_CV = wrong_CV.to(low)
                grad_PD[part] = wrong_low_CV @ table_low_VD
                grad_VD += wrong_low_CV.T @ states_low_PD[part]
        ctx.save_for_backward(grad_PD.mul_(share), grad_VD.mul_(share), grad_V.mul_(share))
        return total * share

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        states, table, bias = ctx.saved_tensors
        return states * grad, table * grad, bias * grad, None
