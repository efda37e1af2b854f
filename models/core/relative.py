"""A transformer layer whose attention knows distances, not places.

Source  Dai et al., ACL 2019, https://arxiv.org/abs/1901.02860, section 3.3 (Transformer-XL); Yang et al., NeurIPS 2019,
        https://arxiv.org/abs/1906.08237 (XLNet: one layer for two streams, GELU).
Differs Norms stand before the layers (Xiong et al., ICML 2020, https://arxiv.org/abs/2002.04745), not behind the residuals:
        so it learns at the step sizes of the other models, and without a long warm-up.
Shapes  B sessions, L places, D hidden size, H heads, E = D / H.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from models.core.attention import attend, forbid
from models.core.dropout import Dropout
from models.core.transformer import AttentionConfig, FeedForward, multiplied

LONGEST_WAVE = 10_000
"""Of the sines that tell distances (Vaswani et al., 2017)."""


class RelativeLayer(nn.Module):
    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads, self.attention_dropout = config.heads, config.attention_dropout
        self.queries, self.keys, self.values, self.distances, self.out = (nn.Linear(size, size, bias=False) for _ in range(5))
        self.to_content, self.to_distance = (nn.Parameter(torch.zeros(size)) for _ in range(2))
        self.feed_forward = FeedForward(config, swiglu=False)
        self.norm_attention, self.norm_feed_forward = nn.LayerNorm(size), nn.LayerNorm(size)
        self.dropout = Dropout(config.hidden_dropout)

    def forward(
        self, asking: Float[Tensor, "B L D"], events: Float[Tensor, "B L D"], sees: Bool[Tensor, "B #L L"]
    ) -> Float[Tensor, "B L D"]:
        """The next states of the places that ask, from the states of the events that each of them sees."""
        seen_BLD = self.norm_attention(events)
        asking_BLD = seen_BLD if asking is events else self.norm_attention(asking)
        states_BLD = asking + self.dropout(self._attention(asking_BLD, seen_BLD, sees))
        changed_BLD: Tensor = states_BLD + self.dropout(self.feed_forward(self.norm_feed_forward(states_BLD)))
        return changed_BLD

    def _attention(self, asking: Tensor, events: Tensor, sees_BLL: Tensor) -> Tensor:
        queries_BLD, events_BLD = self.queries(asking), multiplied(events)
        away_TD = self.distances(waves(events.shape[1], events.shape[2], events.device).to(self.distances.weight.dtype))
        content_BHLE, place_BHLE, keys_BHLE, values_BHLE = (
            self._by_head(part)
            for part in (
                queries_BLD + self.to_content.to(queries_BLD.dtype),
                queries_BLD + self.to_distance.to(queries_BLD.dtype),
                self.keys(events_BLD),
                self.values(events_BLD),
            )
        )
        away_HTE = away_TD.unflatten(-1, (self.heads, -1)).transpose(0, 1)
        bias_BHLL = by_pair(place_BHLE @ away_HTE.mT * content_BHLE.shape[-1] ** -0.5)
        dropout = self.attention_dropout if self.training else 0.0
        bias_BHLL = forbid(bias_BHLL, sees_BLL[:, None])
        found_BHLE = attend(content_BHLE, keys_BHLE, values_BHLE, bias_BHLL, causal=False, dropout=dropout)
        found_BLD: Tensor = self.out(found_BHLE.transpose(1, 2).flatten(2))
        return found_BLD

    def _by_head(self, values_BLD: Tensor) -> Tensor:
        return values_BLD.view(*values_BLD.shape[:2], self.heads, -1).transpose(1, 2)


def waves(width: int, size: int, device: torch.device) -> Float[Tensor, "T D"]:
    """Sines and cosines of the distances width, width - 1, .., 1 - width; positive to earlier places."""
    away_T = torch.arange(width, -width, -1, device=device, dtype=torch.float32)
    speed = LONGEST_WAVE ** -(torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    angle = away_T[:, None] * speed
    return torch.cat([angle.sin(), angle.cos()], -1)[:, :size]


def by_pair(by_distance: Float[Tensor, "B H L T"]) -> Float[Tensor, "B H L L"]:
    """Entry [i, j] is the one of place i for the distance i - j; distances as in `waves`."""
    width = by_distance.shape[2]
    # row i needs columns width - i .. 2 width - i - 1: without the first `width` numbers, rows of 2 width - 1 begin there
    rows_BHLT = by_distance.flatten(2)[..., width:].reshape(*by_distance.shape[:3], 2 * width - 1)
    return rows_BHLT[..., :width]
