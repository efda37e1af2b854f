"""Cross-entropy over a sample of items.

Shapes  P states, C states at a time, N rows: the P targets, then what was drawn; D hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models.core.losses.chunks import give, keep
from models.core.losses.exponentials import exponentials
from models.core.losses.sample import Sample


def sampled_softmax(
    states: Float[Tensor, "P D"],
    vectors: Float[Tensor, "N D"],
    bias: Float[Tensor, "N"],
    items: Int[Tensor, "N"],
    log_expected: Float[Tensor, "N"],
    first: int = 0,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of the targets among the rows from `first` on, which all states share.

    The first P rows are the states' targets, in their order. A row of a state's own item is none of its negatives.

    log_expected  logarithm of how many rows hold each row's item on average. Taken from the scores of the negatives it makes
                  the sum of their exponentials an unbiased estimate of that over all items (Bengio and Senécal, 2008). A
                  target always stands in its own sum, so nothing is taken from its score.
    """
    loss: Tensor = _SampledSoftmax.apply(states, vectors, bias, items, log_expected, first)  # type: ignore[no-untyped-call]
    return loss


class _SampledSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states_PD: Tensor, vectors_ND: Tensor, bias_N: Tensor, items_N: Tensor, less_N: Tensor, first: int
    ) -> Tensor:
        sample = Sample(states_PD, vectors_ND, bias_N, less_N, items_N, first, passes=2)
        scores, share = sample.scores, 1 / max(len(states_PD), 1)
        with torch.autocast(states_PD.device.type, enabled=False):
            scores.shift(sample.own_P)
            loss, grad_P = sample.own_P.new_zeros(()), torch.empty_like(sample.own_P)
            for part, count in scores.parts():
                raised_CN, sums_C, above_C = exponentials(scores, part, sample.hits(part))
                own_C = torch.exp(-above_C)
                sums_C += own_C
                loss += (sums_C.log() + above_C)[:count].sum()
                grad_P[part] = (share * (own_C / sums_C - 1))[:count]
                scores.learn(part, raised_CN, share / sums_C)
            keep(ctx, sample.gradients(grad_P))
        return loss * share

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *give(ctx, grad), None, None, None
