"""Softmax attention with an additive bias.

Source  Vaswani et al., NeurIPS 2017, https://arxiv.org/abs/1706.03762.
Shapes  B sessions, H heads, L places, Q of them that ask (all, or 1), E = D / H numbers of a head; a bias has 1 for B, H or Q
        where all agree.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from models.core.dropout import keep

FORBIDDEN = -1e30
"""Bias of a place that may not be seen. Finite: who sees nothing at all (a padded place) gets a mean, not NaN."""


def attend(
    queries: Float[Tensor, "B H Q E"],
    keys: Float[Tensor, "B H L E"],
    values: Float[Tensor, "B H L E"],
    bias: Float[Tensor, "#B #H #Q L"] | None,
    causal: bool,
    dropout: float = 0.0,
) -> Float[Tensor, "B H Q E"]:
    """Each place's mean of the values it may see, weighted by softmax(q k / sqrt(E) + bias).

    causal   nobody sees a later place; all places ask
    dropout  share of the weights that are blanked; 0 when not in training
    """
    exported, in_bfloat16 = torch.compiler.is_exporting(), queries.dtype == torch.bfloat16
    products = exported or (queries.device.type == "cpu" and (in_bfloat16 or dropout > 0))
    if bias is None and not products:
        return functional.scaled_dot_product_attention(queries, keys, values, is_causal=causal, dropout_p=dropout)
    bias = queries.new_zeros(1, 1, 1, queries.shape[2]) if bias is None else bias
    bias = (forbid(bias, _past(queries)) if causal else bias).to(queries.dtype)
    if products:
        return by_products(queries, keys, values, bias, dropout)
    bias = bias.expand(len(queries), queries.shape[1], queries.shape[2], -1)
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, dropout_p=dropout)


def by_products(
    queries: Float[Tensor, "B H Q E"],
    keys: Float[Tensor, "B H L E"],
    values: Float[Tensor, "B H L E"],
    bias: Float[Tensor, "#B #H #Q L"],
    dropout: float,
) -> Float[Tensor, "B H Q E"]:
    """`attend` without a fused kernel: torch's for CPUs takes 3 (200 places) to 5 times (20 places) as long in bfloat16."""
    weights_BHQL = torch.softmax(queries * queries.shape[-1] ** -0.5 @ keys.mT + bias, -1)
    if dropout:
        weights_BHQL = weights_BHQL * keep(weights_BHQL.shape, dropout, weights_BHQL.dtype)
    return weights_BHQL @ values


def forbid(bias: Float[Tensor, "#B #H #L #K"], sees: Bool[Tensor, "#B #H #L K"]) -> Float[Tensor, "..."]:
    """The bias where a place may be seen, FORBIDDEN where not."""
    return torch.where(sees, bias, FORBIDDEN)


def _past(queries_BHLE: Tensor) -> Tensor:
    places = torch.arange(queries_BHLE.shape[2], device=queries_BHLE.device)
    return (places[:, None] >= places)[None, None]
