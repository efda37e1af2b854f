"""Cross-entropy over all items.

The score of a state's own item is taken from all its scores before they are rounded and raised; what is left of the loss is
the logarithm of their sum. It is not the scores that are divided by the sum, but the states and gradients beside them, which
are fewer.

Shapes  P states, C states at a time, V = num_items + 1, D hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.core.batch import PADDING
from models.core.losses.chunks import Scores, give, keep
from models.core.losses.exponentials import exponentials


def full_softmax(
    states: Float[Tensor, "P D"],
    table: Float[Tensor, "V D"],
    bias: Float[Tensor, "V"],
    targets: Int[Tensor, "P"],
    smoothing: float = 0.0,
    gain: Float[Tensor, "P"] | None = None,
    more: Float[Tensor, "P"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the targets over all items; padding takes no part.

    smoothing  share 0..1 of the target's probability that is spread evenly over all items (Szegedy et al., CVPR 2016)
    gain, more  scores that some items have beside those of the product, told by what they change: the gain of the target's
               score, and what is added to the sum of e^(score - (the target's score + gain)) over all items
    """
    loss: Tensor = _FullSoftmax.apply(states, table, bias, targets, smoothing, gain, more)  # type: ignore[no-untyped-call]
    return loss


class _FullSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states_PD: Tensor,
        table_VD: Tensor,
        bias_V: Tensor,
        targets_P: Tensor,
        smoothing: float,
        gain_P: Tensor | None,
        more_P: Tensor | None,
    ) -> Tensor:
        scores = Scores(states_PD, table_VD, bias_V, excluded=PADDING)
        with torch.autocast(states_PD.device.type, enabled=False):
            share = 1 / max(len(states_PD), 1)
            own_P = scores.of_own(scores.items_NK[targets_P], bias_V[targets_P])
            own_P = own_P if gain_P is None else own_P + gain_P
            scores.shift(own_P)
            loss, grad_gain_P, grad_more_P = own_P.new_zeros(()), torch.empty_like(own_P), torch.empty_like(own_P)
            for part, count in scores.parts():
                raised_CN, sums_C, above_C = exponentials(scores, part)
                plain_C = sums_C.clone()
                if more_P is not None:
                    one_C = torch.exp(-above_C[:count])  # the target's own part of the sum: no rounding makes the sum smaller
                    sums_C[:count] = torch.maximum(sums_C[:count] + more_P[part] * one_C, one_C)
                    grad_gain_P[part] = share * (smoothing - plain_C / sums_C)[:count]
                    grad_more_P[part] = share * one_C / sums_C[:count]
                loss += (sums_C.log() + above_C)[:count].sum()
                flat, own_C = raised_CN.view(-1), _places(targets_P[part], raised_CN.shape[1])
                target_C = flat[own_C].to(scores.exact) - (plain_C - smoothing * sums_C)[:count]
                flat[own_C] = target_C.to(scores.low)
                scores.learn(part, raised_CN, share / sums_C)
            grads = scores.gradients()
            if smoothing:
                loss += _smooth(states_PD, table_VD, bias_V, own_P, smoothing, grads)
        made = [grad.to(like.dtype) for grad, like in zip(grads, (states_PD, table_VD, bias_V), strict=True)]
        keep(ctx, [*made, *([] if more_P is None else [grad_gain_P, grad_more_P])])
        return loss * share

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        states, table, bias, *others = give(ctx, grad)
        gain, more = others or (None, None)
        return states, table, bias, None, None, gain, more


def _places(columns_C: Tensor, width: int) -> Tensor:
    """Of one number in each row of a matrix, laid flat: scattering into a matrix goes over all of it."""
    return columns_C + width * torch.arange(len(columns_C), device=columns_C.device)


def _smooth(
    states_PD: Tensor, table_VD: Tensor, bias_V: Tensor, own_P: Tensor, smoothing: float, grads: tuple[Tensor, ...]
) -> Tensor:
    """The smoothed share asks for the mean score of all items, which is the score of the mean item."""
    grad_PD, grad_VD, grad_V = grads
    real, share = slice(PADDING + 1, None), 1 / max(len(states_PD), 1)
    mean_D, mean = table_VD[real].to(own_P.dtype).mean(0), bias_V[real].mean()
    each = smoothing / (len(table_VD) - 1)
    grad_PD -= smoothing * share * mean_D
    grad_VD[real] -= each * share * states_PD.sum(0)
    grad_V[real] -= each * min(len(states_PD), 1)
    return smoothing * (own_P - states_PD.to(own_P.dtype) @ mean_D - mean).sum()
