"""V-SKNN: the sessions most like this one, found by the items they share, vote for their own items.

Source   Ludewig and Jannach, UMUAI 2018, https://arxiv.org/abs/1803.09587 (vector multiplication session-based kNN).
         Among the sessions that share an item, the `sample_size` most recent are compared; an item's weight in the session
         falls linearly from the last event back; the similarity is the dot product with the binary neighbour.
Differs  Similarities are whole numbers, so equal neighbours are equal on every device and go by recency.
         Items without a vote are ranked by popularity.
Shapes   B sessions, L events, M sessions looked up for each item, S sessions kept, C sampled, K neighbours,
         N distinct items of the longest kept session, V = num_items + 1, E = distinct (session, item) pairs kept.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Le
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from models.core import config
from models.core.base import CountingModel, Features, mask_padding
from models.core.batch import PADDING, SessionBatch

UNIT = 1024
"""Whole number that stands for a weight of 1."""
NO_VOTE = 1e-6
"""What popularity weighs beside votes: nothing but an order."""


class SessionKNNConfig(config.Config):
    """Settings of V-SKNN."""

    neighbours: Annotated[PositiveInt, Le(5000), config.Search(50, 1500, log=True)]
    """Most similar sessions that vote."""
    sample_size: Annotated[PositiveInt, Le(50_000), config.Search(250, 10_000, log=True)]
    """Most recent sessions sharing an item that are compared."""
    max_sessions: Annotated[PositiveInt, Le(5_000_000)]
    """Newest training sessions that are kept; the served model holds them."""
    idf: Literal["none", "similarity", "votes", "both"]
    """Where rare items weigh more, by log(sessions / sessions with the item)."""
    decay: Literal["none", "linear", "reciprocal"]
    """How a neighbour's vote falls with the events since the latest item it shares: 1 - steps / 10, or 1 / steps."""


class SessionKNN(CountingModel):
    Config: ClassVar[type[SessionKNNConfig]] = SessionKNNConfig
    config: SessionKNNConfig
    session_starts: Int[Tensor, "S+1"]
    items_of_sessions: Int[Tensor, "E"]
    item_starts: Int[Tensor, "V+1"]
    sessions_of_items: Int[Tensor, "E"]
    item_weights: Int[Tensor, "V"]
    vote_weights: Float[Tensor, "V"]
    popularity: Float[Tensor, "V"]
    recent: Int[Tensor, "M"]
    places: Int[Tensor, "N"]

    def __init__(self, config: SessionKNNConfig, features: Features) -> None:
        super().__init__(config, features)
        size = features.num_items + 1
        for name in ("session_starts", "recent", "places"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int64))
        for name in ("items_of_sessions", "sessions_of_items"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int32))
        self.register_buffer("item_starts", torch.zeros(size + 1, dtype=torch.int64))
        self.register_buffer("item_weights", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("vote_weights", torch.zeros(size))
        self.register_buffer("popularity", torch.zeros(size))

    def numbers_per_row(self) -> int:
        sessions, session_items = len(self.session_starts), self.config.neighbours * len(self.places)
        looked_up = self.features.max_session_length * len(self.recent)
        return 4 * (self.features.num_items + 1) + 6 * sessions + 4 * looked_up + 4 * session_items

    def fit(self, batch: SessionBatch) -> None:
        size = self.features.num_items + 1
        events = batch.items[batch.mask()]
        self.popularity = torch.bincount(events, minlength=size).float() / max(len(events), 1)

        kept_SL = batch.items[-self.config.max_sessions :]
        sessions, device = kept_SL.shape[0], kept_SL.device
        number_SL = torch.arange(sessions, device=device)[:, None].expand_as(kept_SL)
        pairs_E = torch.unique((number_SL * size + kept_SL)[kept_SL != PADDING])
        session_E, item_E = pairs_E // size, pairs_E % size
        by_item_E = torch.argsort(item_E, stable=True)
        support_V = torch.bincount(item_E, minlength=size)
        distinct_S = torch.bincount(session_E, minlength=sessions)

        self.session_starts, self.items_of_sessions = _starts(distinct_S), item_E.int()
        self.item_starts, self.sessions_of_items = _starts(support_V), session_E[by_item_E].int()
        self.recent = torch.arange(min(int(support_V.max()), self.config.sample_size), device=device)
        self.places = torch.arange(int(distinct_S.max()), device=device)
        idf_V = torch.log(sessions / support_V.clamp(min=1).double()).clamp(min=1 / UNIT).float()
        ones_V = torch.ones_like(idf_V)
        self.item_weights = ((idf_V if self.config.idf in ("similarity", "both") else ones_V) * UNIT).round().long()
        self.vote_weights = idf_V if self.config.idf in ("votes", "both") else ones_V

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        neighbours_BK, similarity_BK = self.nearest(batch)
        zero_BV = torch.zeros_like(self.popularity).expand(batch.items.shape[0], -1)
        place_BKN = self.session_starts[neighbours_BK][:, :, None] + self.places
        voted_BKN = (place_BKN < self.session_starts[neighbours_BK + 1][:, :, None]) & (similarity_BK > 0)[:, :, None]
        last_place = self.items_of_sessions.shape[0] - 1
        items_BKN = self.items_of_sessions[place_BKN.clamp(max=last_place)].long().where(voted_BKN, PADDING)
        vote_BK = similarity_BK.float() / (UNIT * batch.lengths.clamp(min=1)[:, None])
        if self.config.decay != "none":
            order_BL = torch.arange(1, batch.items.shape[1] + 1, device=batch.items.device) * batch.mask()
            order_BV = zero_BV.scatter_reduce(1, batch.items, order_BL.float(), "amax")
            shared_BK = order_BV.gather(1, items_BKN.flatten(1)).reshape(items_BKN.shape).amax(2)
            steps_BK = batch.lengths[:, None] - shared_BK + 1
            vote_BK = vote_BK * (1 / steps_BK if self.config.decay == "reciprocal" else (1 - steps_BK / 10).clamp(min=0))
        votes_BKN = vote_BK[:, :, None] * voted_BKN
        votes_BV = zero_BV.scatter_add(1, items_BKN.flatten(1), votes_BKN.flatten(1))
        return mask_padding(votes_BV * self.vote_weights + NO_VOTE * self.popularity)

    def nearest(self, batch: SessionBatch) -> tuple[Int[Tensor, "B K"], Int[Tensor, "B K"]]:
        """The neighbours and their similarities in units of 1 / (UNIT * length); similarity 0 is no neighbour."""
        items_BL = batch.items
        order_L = torch.arange(items_BL.shape[1], device=items_BL.device)
        again_BLL = (items_BL[:, :, None] == items_BL[:, None, :]) & (order_L[:, None] < order_L)
        last_BL = batch.mask() & ~again_BLL.any(2)
        weight_BL = (order_L + 1) * self.item_weights[items_BL] * last_BL

        place_BLM = self.item_starts[items_BL + 1][:, :, None] - 1 - self.recent
        found_BLM = (place_BLM >= self.item_starts[items_BL][:, :, None]) & last_BL[:, :, None]
        sessions = self.session_starts.shape[0] - 1
        session_BLM = self.sessions_of_items[place_BLM.clamp(min=0)].long().where(found_BLM, sessions)
        all_BS = weight_BL.new_zeros(sessions + 1).expand(items_BL.shape[0], -1)
        weight_BLM = weight_BL[:, :, None].expand_as(session_BLM)
        similarity_BS = all_BS.scatter_add(1, session_BLM.flatten(1), weight_BLM.flatten(1))[:, :-1]

        newest_S = torch.arange(1, sessions + 1, device=items_BL.device)
        sampled = min(self.config.sample_size, sessions)
        age_BC = (newest_S * (similarity_BS > 0)).topk(sampled, 1).values
        sampled_BC = (age_BC - 1).clamp(min=0)
        similarity_BC = similarity_BS.gather(1, sampled_BC) * (age_BC > 0)
        newer_first_C = torch.arange(sampled - 1, -1, -1, device=items_BL.device)
        key_BK, at_BK = (similarity_BC * sampled + newer_first_C).topk(min(self.config.neighbours, sampled), 1)
        return sampled_BC.gather(1, at_BK), key_BK // sampled


def _starts(sizes: Int[Tensor, "n"]) -> Int[Tensor, "n+1"]:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
