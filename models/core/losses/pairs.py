"""Losses that set each state's own item against each of the negatives: BPR-max and gBCE.

Shapes  P states, C states at a time, N rows: the P targets, then what was drawn; M rows that are negatives; D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from models.core.losses.chunks import give, keep
from models.core.losses.sample import Sample

PASSES = 8
"""Tensors as large as the scores that the formulas hold for their gradients."""


def bpr_max(
    states: Float[Tensor, "P D"],
    vectors: Float[Tensor, "N D"],
    bias: Float[Tensor, "N"],
    items: Int[Tensor, "N"],
    first: int,
    penalty: float,
    elu: float,
) -> Float[Tensor, ""]:
    """BPR-max (Hidasi and Karatzoglou, CIKM 2018) against the rows from `first` on; mean over the states.

    The first P rows are the states' targets, in their order. A row of a state's own item is none of its negatives.

    penalty  weight of the negatives' squared scores
    elu      scores below 0 become elu * (e^score - 1), as in the authors' code; 0 leaves them
    """
    return _pairs(partial(_bpr_max, penalty=penalty, elu=elu), states, vectors, bias, items, first)


def gbce(
    states: Float[Tensor, "P D"],
    vectors: Float[Tensor, "N D"],
    bias: Float[Tensor, "N"],
    items: Int[Tensor, "N"],
    first: int,
    calibration: float,
    num_items: int,
) -> Float[Tensor, ""]:
    """Generalised binary cross-entropy (gSASRec: Petrov and Macdonald, RecSys 2023); mean over states and rows.

    The first P rows are the states' targets, in their order. A row of a state's own item is none of its negatives.

    calibration  t of the paper: 0 is binary cross-entropy, 1 undoes what sampling negatives does to the probabilities
    num_items    from which the negatives were drawn
    """
    negatives = len(items) - first
    sampled = min(1.0, negatives / max(num_items - 1, 1))
    power = sampled * (calibration * (1 - 1 / sampled) + 1 / sampled) if negatives else 1.0
    return _pairs(partial(_gbce, power=power), states, vectors, bias, items, first)


def _bpr_max(
    own_C1: Float[Tensor, "C 1"], scores_CM: Float[Tensor, "C M"], hits_CM: Bool[Tensor, "C M"], penalty: float, elu: float
) -> Float[Tensor, ""]:
    if elu:
        own_C1, scores_CM = functional.elu(own_C1, elu), functional.elu(scores_CM, elu)
    far = torch.finfo(scores_CM.dtype).min
    log_weight_CM = scores_CM.masked_fill(hits_CM, far).log_softmax(1).masked_fill(hits_CM, far)
    beaten_C = torch.logsumexp(log_weight_CM + functional.logsigmoid(own_C1 - scores_CM), 1)
    squares_C = (log_weight_CM.exp() * scores_CM.square()).sum(1)
    return (penalty * squares_C - beaten_C).masked_fill(hits_CM.all(1), 0).sum()


def _gbce(
    own_C1: Float[Tensor, "C 1"], scores_CM: Float[Tensor, "C M"], hits_CM: Bool[Tensor, "C M"], power: float
) -> Float[Tensor, ""]:
    negatives = functional.softplus(scores_CM).masked_fill(hits_CM, 0).sum()
    return (power * functional.softplus(-own_C1).sum() + negatives) / (1 + scores_CM.shape[1])


Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From own scores [C, 1], scores of negatives [C, M] and where those are no negatives [C, M] to the sum of the losses."""


def _pairs(rule: Rule, states_PD: Tensor, vectors_ND: Tensor, bias_N: Tensor, items_N: Tensor, first: int) -> Tensor:
    loss: Tensor = _Pairs.apply(rule, states_PD, vectors_ND, bias_N, items_N, first)  # type: ignore[no-untyped-call]
    return loss


class _Pairs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rule: Rule, states_PD: Tensor, vectors_ND: Tensor, bias_N: Tensor, items_N: Tensor, first: int
    ) -> Tensor:
        sample = Sample(states_PD, vectors_ND, bias_N, torch.zeros_like(bias_N), items_N, first, PASSES)
        scores, share = sample.scores, 1 / max(len(states_PD), 1)
        with torch.autocast(states_PD.device.type, enabled=False):
            loss, grad_P = sample.own_P.new_zeros(()), torch.empty_like(sample.own_P)
            for part, count in scores.parts():
                scores_CN = scores.of(part)
                real = slice(count), slice(scores.num_items)
                own_C1, scores_CM = sample.own_P[part, None].clone(), scores_CN[real].to(scores.exact, copy=True)
                with torch.enable_grad():
                    value = rule(own_C1.requires_grad_(), scores_CM.requires_grad_(), sample.hits(part)[real])
                    grad_C1, grad_CM = torch.autograd.grad(value, (own_C1, scores_CM))
                loss += value.detach()
                grad_P[part] = share * grad_C1[:, 0]
                scores_CN.zero_()[real] = grad_CM
                scores.learn(part, scores_CN, torch.full_like(scores.grad_N[:1], share).expand(len(scores_CN)))
            keep(ctx, sample.gradients(grad_P))
        return loss * share

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, *give(ctx, grad), None, None
