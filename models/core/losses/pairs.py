"""Losses that set each state's own item against each of the negatives: BPR-max and gBCE.

Shapes  P states, C states at a time, N rows: the P targets, then what was drawn; M rows that are negatives; D hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from models.core.losses.chunks import give, keep
from models.core.losses.sample import Sample

NOTHING = 1e-30
"""A sum of sigmoids below it comes from a state whose item is far above all negatives: its loss is 0."""
PASSES = 8
"""Tensors as large as the scores, in bfloat16, that the formulas hold."""


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


Told = tuple[Tensor, Tensor, Tensor]
"""Sum of the losses [], its gradients by own scores [C, 1] and by scores of negatives [C, M]."""
Rule = Callable[[Tensor, Tensor, Tensor], Told]
"""From own scores [C, 1], scores of negatives [C, M], which it writes over, and where those are no negatives [C, M]."""


def _bpr_max(own_C1: Tensor, scores_CM: Tensor, hits_CM: Tensor, penalty: float, elu: float) -> Told:
    """In place, pass by pass. With x = score - own, e^x sigmoid(-x) = sigmoid(x): the paper's
    -log sum_j softmax_j sigmoid(own - score_j) is log sum_j e^x_j - log sum_j sigmoid(x_j), and no quotient is near 0/0.
    """
    if elu:
        own_C1, scores_CM = functional.elu(own_C1, elu), functional.elu(scores_CM, elu, inplace=True)
    ahead_CM = (scores_CM - own_C1).masked_fill_(hits_CM, torch.finfo(scores_CM.dtype).min)
    most_C1 = ahead_CM.amax(1, keepdim=True)
    weight_CM = (ahead_CM - most_C1).exp_()
    sum_C1 = weight_CM.sum(1, keepdim=True)
    weight_CM *= ~hits_CM.all(1, keepdim=True) / sum_C1
    beats_CM = ahead_CM.sigmoid_()
    beaten_C1 = beats_CM.sum(1, keepdim=True).clamp_(min=NOTHING)
    learns_C1 = (most_C1 > math.log(NOTHING)).to(own_C1.dtype)
    loss_C1 = learns_C1 * (most_C1 + sum_C1.log() - beaten_C1.log())
    slope_CM = beats_CM.addcmul_(beats_CM, beats_CM, value=-1).mul_(learns_C1 / beaten_C1)
    grad_C1 = slope_CM.sum(1, keepdim=True) - learns_C1

    linear_CM = weight_CM * scores_CM
    squares_CM = linear_CM * scores_CM
    squares_C1 = squares_CM.sum(1, keepdim=True)
    loss_C1 += penalty * squares_C1
    weight_CM *= learns_C1 - penalty * squares_C1
    grad_CM = weight_CM.sub_(slope_CM).add_(linear_CM, alpha=2 * penalty).add_(squares_CM, alpha=penalty)
    if elu:
        grad_C1, grad_CM = _through_elu(grad_C1, own_C1, elu), _through_elu(grad_CM, scores_CM, elu)
    return loss_C1.sum(), grad_C1, grad_CM


def _through_elu(grad: Tensor, bent: Tensor, elu: float) -> Tensor:
    before: Tensor = torch.ops.aten.elu_backward(grad, elu, 1, 1, True, bent)
    return before


def _gbce(own_C1: Tensor, scores_CM: Tensor, hits_CM: Tensor, power: float) -> Told:
    share = 1 / (1 + scores_CM.shape[1])
    scores_CM.masked_fill_(hits_CM, torch.finfo(scores_CM.dtype).min)
    loss = share * (power * functional.softplus(-own_C1).sum() + functional.softplus(scores_CM).sum())
    return loss, -share * power * torch.sigmoid(-own_C1), scores_CM.sigmoid_().mul_(share)


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
                own_C1, scores_CM = sample.own_P[part, None], scores_CN[real].to(scores.exact, copy=True)
                value, grad_C1, grad_CM = rule(own_C1, scores_CM, sample.hits(part)[real])
                loss += value
                grad_P[part] = share * grad_C1[:, 0]
                scores_CN.zero_()[real] = grad_CM
                scores.learn(part, scores_CN, torch.full_like(scores.grad_N[:1], share).expand(len(scores_CN)))
            keep(ctx, sample.gradients(grad_P))
        return loss * share

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, *give(ctx, grad), None, None
