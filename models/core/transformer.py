"""The transformer that session models share: pre-norm, gated residuals, gated feed-forward layers.

Source  Vaswani et al., NeurIPS 2017, https://arxiv.org/abs/1706.03762; Xiong et al., ICML 2020,
        https://arxiv.org/abs/2002.04745 (pre-norm); Shazeer, 2020, https://arxiv.org/abs/2002.05202 (SwiGLU);
        Borisyuk et al., 2025, https://arxiv.org/abs/2502.03417 (LiGR: gates on both residuals).
Shapes  B sessions, L events, Q places whose states are wanted (all L, or 1), D hidden size, H heads, E = D / H, F width of the
        feed-forward layers.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from jaxtyping import Float, Int
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from models.core import config
from models.core.attention import attend, forbid
from models.core.batch import SessionBatch, at
from models.core.dropout import Dropout
from models.core.positions import TIMESTAMP, PairBias, PlaceVectors
from models.core.sequence import SequenceConfig


class AttentionConfig(SequenceConfig):
    """What every stack of attention layers has."""

    layers: Annotated[PositiveInt, Le(24), config.Search(1, 4)]
    """Blocks of attention and feed-forward layer on top of each other."""
    heads: Annotated[PositiveInt, Le(32)]
    """Attention heads; they share the hidden size, which must be a multiple of them."""
    feed_forward_factor: Annotated[float, Gt(0), Le(16), config.Search(1.0, 4.0)]
    """Width of the feed-forward layers over the hidden size; rounded up to a multiple of 32, which is fast."""
    hidden_dropout: Annotated[float, Ge(0), Lt(1), config.Search(0.0, 0.6)]
    """Share 0..1 of each layer's output that training blanks."""
    attention_dropout: Annotated[float, Ge(0), Lt(1), config.Search(0.0, 0.6)]
    """Share 0..1 of the attention weights that training blanks."""

    @model_validator(mode="after")
    def _heads_share_the_hidden_size(self) -> AttentionConfig:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size = {self.hidden_size} is not a multiple of heads = {self.heads}")
        return self


class TransformerConfig(AttentionConfig):
    """How events of a session are mixed."""

    feed_forward: Literal["swiglu", "gelu"]
    """What stands between two attentions. swiglu: three matrices, one of them a gate. gelu: two, as in the first transformers."""
    gated: bool
    """Whether each residual is let through by a learned gate (LiGR)."""
    norm: Literal["layer", "rms"]
    """What each block begins with. layer has a kernel of its own on a CPU and is faster there."""
    positions: Literal["learned", "relative", "none"]
    """How order is known. learned: a vector for each place. relative: a bias of each head for each distance of two events."""
    time_bias: bool
    """Whether each head has a bias for the time between two events; reads the column timestamp."""

    def read(self) -> tuple[str, ...]:
        """Columns that the model reads: those beside the item, and the time if it is asked for."""
        return (*self.columns, TIMESTAMP) if self.time_bias else self.columns


class Transformer(nn.Module):
    """From event vectors to states."""

    def __init__(self, config: TransformerConfig, num_places: int, causal: bool) -> None:
        super().__init__()
        self.places = PlaceVectors(num_places, config.hidden_size, not causal) if config.positions == "learned" else None
        self.pairs = PairBias(num_places, config.heads, config.positions == "relative", config.time_bias)
        self.blocks = nn.ModuleList(Block(config, causal) for _ in range(config.layers))
        self.norm = norm(config)
        self.causal = causal

    def forward(
        self, events: Float[Tensor, "B L D"], batch: SessionBatch, only: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B Q D"]:
        """Causal: each state has seen its event and those before. Else: all events of the session. Padding is never seen.

        only  the place in each row whose state is wanted: of the others the last block makes keys and values only
        """
        bias = self.pairs(batch)
        if not self.causal:
            bias = forbid(events.new_zeros(1, 1, 1, 1) if bias is None else bias, batch.mask()[:, None, None])
        states_BLD = events if self.places is None else self.places(events, batch.lengths)
        *blocks, last = self.blocks
        for block in blocks:
            states_BLD = block(states_BLD, bias)
        normed_BQD: Tensor = self.norm(last(states_BLD, bias, only))
        return normed_BQD


class Block(nn.Module):
    """x + gate(x) * attention(norm(x)), then x + gate(x) * feed_forward(norm(x)); without gates: x + f(norm(x))."""

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__()
        self.attention = Residual(config, Attention(config, causal))
        self.feed_forward = Residual(config, FeedForward(config, swiglu=config.feed_forward == "swiglu"))

    def forward(
        self, states: Float[Tensor, "B L D"], bias: Float[Tensor, "#B #H #L L"] | None, only: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B Q D"]:
        mixed_BQD: Tensor = self.feed_forward(self.attention(states, bias, only=only))
        return mixed_BQD


class Residual(nn.Module):
    def __init__(self, config: TransformerConfig, inner: nn.Module) -> None:
        super().__init__()
        self.norm, self.inner, self.dropout = norm(config), inner, Dropout(config.hidden_dropout)
        self.gate = nn.Linear(config.hidden_size, config.hidden_size) if config.gated else None

    def forward(
        self, states: Float[Tensor, "B L D"], *rest: Tensor | None, only: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B Q D"]:
        normed = self.norm(states)
        change_BQD: Tensor = self.dropout(self.inner(normed, *rest) if only is None else self.inner(normed, *rest, only))
        states = wanted(states, only)
        return states + (change_BQD if self.gate is None else torch.sigmoid(self.gate(states)) * change_BQD)


class Attention(nn.Module):
    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__()
        size = config.hidden_size
        self.queries, self.keys, self.values, self.out = (nn.Linear(size, size, bias=False) for _ in range(4))
        self.heads, self.causal, self.dropout = config.heads, causal, config.attention_dropout

    def forward(
        self, states: Float[Tensor, "B L D"], bias: Float[Tensor, "#B #H #L L"] | None, only: Int[Tensor, "B"] | None = None
    ) -> Float[Tensor, "B Q D"]:
        states = multiplied(states)
        queries, keys, values = (
            layer(seen).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, seen in ((self.queries, wanted(states, only)), (self.keys, states), (self.values, states))
        )
        causal = self.causal
        if only is not None:  # the one place's row of the bias says what it may see
            bias, causal = self.row(states, bias, only), False
        found_BHQE = attend(queries, keys, values, bias, causal, self.dropout if self.training else 0.0)
        found_BQD: Tensor = self.out(found_BHQE.transpose(1, 2).flatten(2))
        return found_BQD

    def row(
        self, states: Float[Tensor, "B L D"], bias: Float[Tensor, "#B #H #L L"] | None, only: Int[Tensor, "B"]
    ) -> Float[Tensor, "#B #H 1 #L"]:
        """The bias of the place that asks; causal: what comes after it is forbidden."""
        bias = states.new_zeros(1, 1, 1, 1) if bias is None else bias
        if bias.shape[2] > 1:  # else all places have the same
            rows = states.shape[0]  # len() is a constant in an exported graph
            bias = at(bias.transpose(1, 2).expand(rows, -1, -1, -1), only)[:, :, None]
        places_L = torch.arange(states.shape[1], device=states.device)
        return forbid(bias, (places_L <= only[:, None])[:, None, None]) if self.causal else bias


class FeedForward(nn.Module):
    def __init__(self, config: AttentionConfig, swiglu: bool) -> None:
        super().__init__()
        size, width = config.hidden_size, -(-round(config.hidden_size * config.feed_forward_factor) // 32) * 32
        self.up, self.down = nn.Linear(size, width), nn.Linear(width, size)
        self.gate = nn.Linear(size, width) if swiglu else None

    def forward(self, states: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        states = multiplied(states)
        up_BLF: Tensor = self.up(states)
        wide_BLF = functional.gelu(up_BLF) if self.gate is None else functional.silu(self.gate(states)) * up_BLF
        down_BLD: Tensor = self.down(wide_BLF)
        return down_BLD


def wanted(states: Float[Tensor, "B L D"], only: Int[Tensor, "B"] | None) -> Float[Tensor, "B Q D"]:
    """All states, or each row's one."""
    return states if only is None else at(states, only)[:, None]


def norm(config: TransformerConfig) -> nn.Module:
    """A new norm of the kind that is set."""
    kind = nn.LayerNorm if config.norm == "layer" else nn.RMSNorm
    return kind(config.hidden_size)


def multiplied(states: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """In the precision that matrix products are made in: cast once, not once for each matrix."""
    kind = states.device.type
    return states.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else states


def numbers_per_session(config: AttentionConfig, num_places: int) -> int:
    """About how many numbers a layer holds in memory for each session that is read as a whole."""
    return num_places * (int(config.hidden_size * (6 + config.feed_forward_factor)) + 2 * config.heads * num_places)
