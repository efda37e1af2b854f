"""Items of the session come again: beside what the state says of all items, it points at events of its own session.

Source   Gulcehre et al., ACL 2016, https://arxiv.org/abs/1603.08148 (pointing instead of generating); Ren et al., AAAI 2019,
         https://arxiv.org/abs/1812.02646 (RepeatNet: sessions repeat themselves).
Differs  The points are added to the items' scores before one softmax over all items, instead of mixing two distributions.
Shapes   B sessions, L events, P events with a successor, D hidden size, V = num_items + 1; T and J are events, J at or before T.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from models.core import config
from models.core.base import Features
from models.core.batch import SessionBatch, at
from models.core.dropout import Dropout
from models.core.sequence import SequenceConfig, SequenceModel

LARGEST = 60.0
"""Logarithm of the largest exponential that is made in float32."""


class RepeatsConfig(SequenceConfig):
    """Settings of models whose states may point at events of the session."""

    repeats: bool
    """Whether a state also points at earlier events, whose items gain or lose by it. loss: full_softmax only."""
    repeats_dropout: Annotated[float, Ge(0), Lt(1), config.Search(0.0, 0.6)]
    """Share 0..1 of a state's numbers that training blanks before it points."""

    @model_validator(mode="after")
    def _over_all_items(self) -> RepeatsConfig:
        if self.repeats and self.loss != "full_softmax":
            raise ValueError(f"repeats: true needs loss: full_softmax; loss is {self.loss}")
        return self


def exact(tensor: Tensor) -> torch.dtype:
    """The number type of sums: float32 or better."""
    return torch.promote_types(tensor.dtype, torch.float32)


class Points(nn.Module):
    """Which events of the session a state points at, and how much their items gain: by what they are and how long ago."""

    def __init__(self, size: int, num_places: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.dropout = nn.Linear(size, size), nn.Linear(size, size), Dropout(dropout)
        self.by_distance = nn.Parameter(torch.zeros(num_places))
        nn.init.normal_(self.query.weight, std=0.02)
        nn.init.zeros_(self.query.bias)

    def forward(self, states: Float[Tensor, "B L D"]) -> Float[Tensor, "B L L"]:
        """[b, t, j]: what the item of event j gains for the state after event t; 0 where j comes later."""
        dropped_BLD = self.dropout(states)
        query_BLD, key_BLD = self.query(dropped_BLD), self.key(self.dropout(states))
        place_L = torch.arange(states.shape[1], device=states.device)
        distance_TJ = place_L[:, None] - place_L
        ago_TJ = self.by_distance[distance_TJ.clamp(min=0, max=len(self.by_distance) - 1)]
        points_BTJ: Tensor = query_BLD @ key_BLD.transpose(1, 2) * states.shape[2] ** -0.5 + ago_TJ
        return points_BTJ.to(exact(points_BTJ)).masked_fill(distance_TJ < 0, 0.0)


class RepeatsModel(SequenceModel):
    """A causal model whose states may point at events of their session."""

    Config: ClassVar[type[RepeatsConfig]]
    config: RepeatsConfig

    def __init__(self, config: RepeatsConfig, features: Features) -> None:
        super().__init__(config, features)
        longest = features.max_session_length
        self.points = Points(config.hidden_size, longest, config.repeats_dropout) if config.repeats else None

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        if self.points is None:
            return super().scores(batch)
        states_BLD, last_B = self.states(batch), batch.last()
        points_BJ = at(self.points(states_BLD), last_B)
        return self._pointed(self.head.scores(at(states_BLD, last_B)), batch.items, points_BJ)

    def scores_everywhere(self, batch: SessionBatch) -> Float[Tensor, "P V"]:
        if self.points is None:
            return super().scores_everywhere(batch)
        states_BLD, before_P = self.states(batch), batch.before_targets()
        points_PJ = self.points(states_BLD).flatten(0, 1)[before_P]
        return self._pointed(
            self.head.scores(states_BLD.flatten(0, 1)[before_P]), batch.items[before_P // batch.items.shape[1]], points_PJ
        )

    def loss(self, batch: SessionBatch) -> Float[Tensor, ""]:
        if self.points is None:
            return super().loss(batch)
        states_BLD, before_P, targets_P = self.states(batch), batch.before_targets(), batch.targets()
        states_PD = states_BLD.flatten(0, 1).index_select(0, before_P)
        gains_BTJ = self.points(states_BLD)
        with torch.autocast(states_BLD.device.type, enabled=False):
            same_BTJ = (batch.items[:, :, None] == batch.items[:, None, :]) & batch.mask()[:, None]
            gains_BTJ = gains_BTJ @ same_BTJ.to(gains_BTJ.dtype)  # of all events of the item together
            place_L = torch.arange(batch.items.shape[1], device=before_P.device)
            earlier_TJ = place_L < place_L[:, None]
            first_BJ = ~(same_BTJ & earlier_TJ).any(2)  # an item is one candidate, however often it came
            there_BTJ = (first_BJ & batch.mask())[:, None] & (place_L <= place_L[:, None])
            kind = exact(states_BLD)
            scores_BTJ = self.head.scores_of(states_BLD.to(kind), batch.items)
            own_BT = functional.pad(scores_BTJ.diagonal(1, 1, 2), (0, 1))  # of the item that comes next
            ours_BTJ = same_BTJ.roll(-1, 1) & there_BTJ  # first events of the item that comes next
            gain_BT = (gains_BTJ * ours_BTJ).sum(2)
            above_BTJ = scores_BTJ - (own_BT + gain_BT)[:, :, None]
            change_BTJ = _exp(above_BTJ + gains_BTJ) - _exp(above_BTJ)
            more_BT = change_BTJ.masked_fill(~there_BTJ, 0.0).sum(2)
            gain_P, more_P = (each_BT.flatten().index_select(0, before_P) for each_BT in (gain_BT, more_BT))
        loss: Tensor = self.head.loss(states_PD, targets_P, gain_P, more_P)
        return loss

    def _pointed(self, scores_XV: Tensor, items_XJ: Tensor, points_XJ: Tensor) -> Tensor:
        """The same scores, changed. Points of padding go to padding, whose score is -inf."""
        return scores_XV.scatter_add_(1, items_XJ, points_XJ.to(scores_XV.dtype))


def _exp(scores: Tensor) -> Tensor:
    return torch.exp(scores.clamp(max=LARGEST))
