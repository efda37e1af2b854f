"""Softmax attention with an additive bias, as fast as the device lets it be.

Source  Vaswani et al., NeurIPS 2017, https://arxiv.org/abs/1706.03762; gradients beside the cache as in Dao et al.,
        NeurIPS 2022, https://arxiv.org/abs/2205.14135 (without its recomputation: sessions are short).
Shapes  B sessions, H heads, L places, E = D / H numbers of a head; a bias has 1 for B, H or the asking L where all agree.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from models.core.dropout import keep

FORBIDDEN = -1e30
"""Bias of a place that may not be seen. Finite: who sees nothing at all (a padded place) gets a mean, not NaN."""
NUMBERS_AT_ONCE = 2**18
"""Weights that a CPU handles at once, so that they stay in a core's cache."""


def attend(
    queries: Float[Tensor, "B H L E"],
    keys: Float[Tensor, "B H L E"],
    values: Float[Tensor, "B H L E"],
    bias: Float[Tensor, "#B #H #L L"] | None,
    causal: bool,
    dropout: float = 0.0,
) -> Float[Tensor, "B H L E"]:
    """Each place's mean of the values it may see, weighted by softmax(q k / sqrt(E) + bias).

    causal   nobody sees a later place
    dropout  share of the weights that are blanked; 0 when not in training
    """
    if queries.device.type != "cpu":
        if bias is None:
            return functional.scaled_dot_product_attention(queries, keys, values, is_causal=causal, dropout_p=dropout)
        bias = forbid(bias, _past(queries)) if causal else bias
        bias = bias.to(queries.dtype).expand(len(queries), queries.shape[1], queries.shape[2], -1)
        return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, dropout_p=dropout)
    if causal:
        past = _past(queries)
        bias = forbid(queries.new_zeros(1, 1, 1, 1) if bias is None else bias, past)
    if bias is None:
        bias = queries.new_zeros(1, 1, 1, queries.shape[2])
    if dropout or torch.compiler.is_compiling():
        return _plain(queries, keys, values, bias, dropout)
    found: Tensor = _InCache.apply(queries, keys, values, bias.to(queries.dtype))  # type: ignore[no-untyped-call]
    return found


def forbid(bias: Float[Tensor, "#B #H #L #K"], sees: Bool[Tensor, "#B #H #L K"]) -> Float[Tensor, "..."]:
    """The bias where a place may be seen, FORBIDDEN where not."""
    return torch.where(sees, bias, FORBIDDEN)


def _past(queries_BHLE: Tensor) -> Tensor:
    places = torch.arange(queries_BHLE.shape[2], device=queries_BHLE.device)
    return (places[:, None] >= places)[None, None]


def _plain(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, dropout: float) -> Tensor:
    weights_BHLL = torch.softmax(queries * queries.shape[-1] ** -0.5 @ keys.mT + bias.to(queries.dtype), -1)
    if dropout:
        weights_BHLL = weights_BHLL * keep(weights_BHLL.shape, dropout, weights_BHLL.dtype)
    return weights_BHLL @ values


class _InCache(torch.autograd.Function):
    """Some sessions at a time: what is made from their weights is made while these are in the cache."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        scaled_BHLE, keys_BHLE, values_BHLE = queries * queries.shape[-1] ** -0.5, keys.contiguous(), values.contiguous()
        weights_BHLL = queries.new_empty(*queries.shape[:3], keys.shape[2])
        found_BHLE = torch.empty_like(values_BHLE)
        for part in _parts(weights_BHLL):
            weights = torch.matmul(scaled_BHLE[part], keys_BHLE[part].mT).add_(bias[part] if len(bias) > 1 else bias)
            torch.softmax(weights, -1, out=weights_BHLL[part])
            found_BHLE[part] = weights_BHLL[part] @ values_BHLE[part]
        ctx.save_for_backward(scaled_BHLE, keys_BHLE, values_BHLE, weights_BHLL, found_BHLE)
        ctx.bias = (bias.shape, bias.dtype) if ctx.needs_input_grad[3] else None
        return found_BHLE

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        scaled, keys, values, weights_BHLL, found = ctx.saved_tensors
        grad = grad.contiguous()
        to_queries, to_keys, to_values = (torch.empty_like(like) for like in (scaled, keys, values))
        to_bias = None
        if ctx.bias is not None:
            shape, dtype = ctx.bias
            to_bias = torch.zeros(shape, dtype=torch.promote_types(dtype, torch.float32))
        own_BHL1 = (grad * found).sum(-1, keepdim=True)
        for part in _parts(weights_BHLL):
            weights, into = weights_BHLL[part], grad[part]
            to_values[part] = weights.mT @ into
            wrong = (into @ values[part].mT).sub_(own_BHL1[part]).mul_(weights)
            to_queries[part] = wrong @ keys[part]
            to_keys[part] = wrong.mT @ scaled[part]
            if to_bias is not None:
                (to_bias[part] if len(to_bias) > 1 else to_bias).add_(wrong.sum_to_size(_like(wrong, to_bias)))
        to_queries *= scaled.shape[-1] ** -0.5
        return to_queries, to_keys, to_values, None if to_bias is None else to_bias.to(ctx.bias[1])


def _like(part: Tensor, bias: Tensor) -> list[int]:
    return [have if size > 1 else 1 for have, size in zip(part.shape, bias.shape, strict=True)]


def _parts(weights_BHLL: Tensor) -> list[slice]:
    sessions = max(1, NUMBERS_AT_ONCE // max(weights_BHLL[0].numel(), 1)) if len(weights_BHLL) else 1
    return [slice(begin, begin + sessions) for begin in range(0, len(weights_BHLL), sessions)]
