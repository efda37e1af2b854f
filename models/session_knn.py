"""Session kNN: the sessions most like this one, found by the items they share, vote for their own items.

Source   v_sknn: Ludewig and Jannach, UMUAI 2018, https://arxiv.org/abs/1803.09587 (vector multiplication session-based kNN).
         Among the sessions that share an item, the `sample_size` most recent are compared; an item's weight in the session
         falls linearly from the last event back; the similarity is the dot product with the binary neighbour.
         vstan: STAN, Garg et al., SIGIR 2019, https://dl.acm.org/doi/10.1145/3331184.3331322, joined with V-SKNN by
         Ludewig et al., UMUAI 2021, https://arxiv.org/abs/1910.12781. Weights fall exponentially: of the session's items by
         position (lambda_spw), of neighbours by age (lambda_snh), of a neighbour's items by their distance from the latest
         shared one (lambda_inh), of votes by the position of the latest shared item in the session (lambda_ipw); rare items
         count more (lambda_idf). The similarity is the cosine with the binary neighbour.
Differs  Similarities are whole numbers, so equal neighbours are equal on every device and go by recency.
         v_sknn: the linear decay of votes ends at 0, the published code goes on below.
         vstan: the age of a neighbour is the time from its last event to the last event of training, not to the session asked:
         a factor that is the same for all neighbours, and the served graph knows no clock. Similarities are relative to the
         nearest neighbour's, so that no row vanishes. idf counts sessions with the item, the published code events.
         Items without a vote are ranked by popularity.
Shapes   B sessions, L events, S sessions kept (0 is the newest), C sampled, K neighbours, V = num_items + 1,
         E = distinct (session, item) pairs kept, N pairs looked up, Q votes.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from annotated_types import Le
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from models.core import config, popular, ragged
from models.core.base import CountingModel, Features, mask_padding
from models.core.batch import PADDING, SessionBatch
from models.core.sharing import Sampled, SessionsOfItems, last_events, sample

TIME = "timestamp"
"""Column of event times, in microseconds."""
DAY = 86_400_000_000
UNIT = 1024
"""v_sknn: the whole number that stands for an item weight of 1."""
FINE = 2**40
"""vstan: the whole number that stands for a weight, and for a relative similarity, of 1."""
Lambda = Annotated[PositiveFloat, config.Search(0.25, 32.0, log=True)] | None


class SessionKNNConfig(config.Config):
    """Settings of session kNN."""

    method: Literal["v_sknn", "vstan"]
    """V-SKNN, or VSTAN with its exponential decays."""
    neighbours: Annotated[PositiveInt, Le(5000), config.Search(50, 1500, log=True)]
    """Most similar sessions that vote."""
    sample_size: Annotated[PositiveInt, Le(50_000), config.Search(250, 10_000, log=True)]
    """Most recent sessions sharing an item that are compared."""
    max_sessions: Annotated[PositiveInt, Le(5_000_000)]
    """Newest training sessions that are kept; the served model holds them."""
    idf: Literal["none", "similarity", "votes", "both"]
    """v_sknn: where rare items weigh more, by log(sessions / sessions with the item)."""
    decay: Literal["none", "linear", "reciprocal"]
    """v_sknn: how a neighbour's vote falls with the events since the latest item it shares: 1 - steps / 10, or 1 / steps."""
    lambda_spw: Lambda
    """vstan: events from the end of the session over which an item's weight in the similarity falls to 1/e; null: it does not."""
    lambda_snh_days: Annotated[PositiveFloat, config.Search(0.5, 100.0, log=True)] | None
    """vstan: days over which a neighbour's similarity falls to 1/e; null: times are not read."""
    lambda_inh: Lambda
    """vstan: events from a neighbour's latest shared item over which the votes for its items fall to 1/e; null: they do not."""
    lambda_ipw: Lambda
    """vstan: events from the end of the session to its latest shared item over which a vote falls to 1/e; null: it does not."""
    lambda_idf: Annotated[PositiveFloat, config.Search(0.5, 10.0, log=True)] | None
    """vstan: a vote is multiplied by 1 + lambda_idf * log(sessions / sessions with the item); null: it is not."""


class Nearest(NamedTuple):
    """The neighbours of each session.

    session     its number
    similarity  v_sknn: the dot product; vstan: relative to the nearest; 0 is no neighbour
    steps       events from the end of the session to the latest shared item, which has 1
    place       vstan: the last event of the neighbour that is a shared item, counted from 1
    """

    session: Int[Tensor, "B K"]
    similarity: Float[Tensor, "B K"]
    steps: Int[Tensor, "B K"]
    place: Int[Tensor, "B K"] | None


class SessionKNN(CountingModel):
    Config: ClassVar[type[SessionKNNConfig]] = SessionKNNConfig
    config: SessionKNNConfig
    session_starts: Int[Tensor, "S+1"]
    items_of_sessions: Int[Tensor, "E"]
    places_of_sessions: Int[Tensor, "E"]
    item_starts: Int[Tensor, "V+1"]
    sessions_of_items: Int[Tensor, "E"]
    places_of_items: Int[Tensor, "E"]
    ages: Float[Tensor, "S"]
    item_weights: Int[Tensor, "V"]
    vote_weights: Float[Tensor, "V"]
    popularity: Float[Tensor, "V"]

    def __init__(self, config: SessionKNNConfig, features: Features) -> None:
        super().__init__(config, features)
        size = features.num_items + 1
        self.register_buffer("session_starts", torch.zeros(0, dtype=torch.int64))
        for name in ("items_of_sessions", "places_of_sessions", "sessions_of_items", "places_of_items"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int32))
        self.register_buffer("ages", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("item_starts", torch.zeros(size + 1, dtype=torch.int64))
        self.register_buffer("item_weights", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("vote_weights", torch.zeros(size))
        self.register_buffer("popularity", torch.zeros(size))

    @classmethod
    def columns(cls, config: SessionKNNConfig) -> tuple[str, ...]:  # type: ignore[override]
        return (TIME,) if config.method == "vstan" and config.lambda_snh_days else ()

    @classmethod
    def columns_to_score(cls, config: SessionKNNConfig) -> tuple[str, ...]:  # type: ignore[override]
        """None: a neighbour's age counts from the newest training session."""
        return ()

    def numbers_per_row(self) -> int:
        sampled, votes = self.config.sample_size, self.config.neighbours * len(self.items_of_sessions)
        return 3 * (self.features.num_items + 1) + 8 * sampled + 8 * votes // max(len(self.session_starts) - 1, 1)

    def fit(self, batch: SessionBatch) -> None:
        size = self.features.num_items + 1
        self.popularity = popular.shares(batch, self.features.num_items)

        kept_SL = batch.items[-self.config.max_sessions :].flip(0)
        sessions, longest = kept_SL.shape
        number_SL = torch.arange(sessions, device=kept_SL.device)[:, None].expand_as(kept_SL)
        happened_SL = kept_SL != PADDING
        pairs_E, pair_of_event = torch.unique((number_SL * size + kept_SL)[happened_SL], return_inverse=True)
        session_E, item_E = pairs_E // size, pairs_E % size
        place = torch.arange(1, longest + 1, device=kept_SL.device).expand_as(kept_SL)[happened_SL]
        place_E = torch.zeros_like(pairs_E).scatter_reduce(0, pair_of_event, place, "amax")
        by_item_E = torch.argsort(item_E, stable=True)
        support_V = torch.bincount(item_E, minlength=size)

        self.session_starts = ragged.starts(torch.bincount(session_E, minlength=sessions))
        self.items_of_sessions, self.places_of_sessions = item_E.int(), place_E.int()
        self.item_starts = ragged.starts(support_V)
        self.sessions_of_items, self.places_of_items = session_E[by_item_E].int(), place_E[by_item_E].int()
        self.ages = self._ages(batch)
        idf_V = torch.log(sessions / support_V.clamp(min=1).double()).clamp(min=1 / UNIT).float()
        ones_V = torch.ones_like(idf_V)
        if self.config.method == "vstan":
            self.item_weights = ones_V.long()
            self.vote_weights = ones_V + (self.config.lambda_idf or 0.0) * idf_V
        else:
            self.item_weights = ((idf_V if self.config.idf in ("similarity", "both") else ones_V) * UNIT).round().long()
            self.vote_weights = idf_V if self.config.idf in ("votes", "both") else ones_V

    def _ages(self, batch: SessionBatch) -> Float[Tensor, "S"]:
        """What a neighbour's age takes from the logarithm of its similarity."""
        kept = slice(-self.config.max_sessions, None)
        lengths_S = batch.lengths[kept].flip(0)
        if TIME not in self.columns(self.config):
            return torch.zeros_like(lengths_S, dtype=torch.float64)
        if TIME not in batch.columns:
            raise ValueError(f"zoo.session_knn.lambda_snh_days needs the column {TIME!r}")
        ends_S = batch.columns[TIME][kept].flip(0).gather(1, lengths_S[:, None] - 1).squeeze(1)
        assert self.config.lambda_snh_days is not None
        return (ends_S.max() - ends_S).double() / (DAY * self.config.lambda_snh_days)

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        near = self.nearest(batch)
        vote_BK = near.similarity * self._vote_decay(near.steps)
        begin_BK = self.session_starts[near.session]
        items_BK = (self.session_starts[near.session + 1] - begin_BK) * (vote_BK > 0)
        neighbour_Q, pair_Q = ragged.expand(begin_BK, items_BK)
        item_Q = self.items_of_sessions.index_select(0, pair_Q).long()
        vote_Q = vote_BK.flatten().index_select(0, neighbour_Q) * self.vote_weights.index_select(0, item_Q)
        lambda_inh = self.config.lambda_inh
        if near.place is not None and lambda_inh is not None:
            place_Q = near.place.flatten().index_select(0, neighbour_Q)
            distance_Q = (self.places_of_sessions.index_select(0, pair_Q) - place_Q).abs()
            vote_Q = vote_Q * torch.exp(-distance_Q / lambda_inh)
        rows, size = batch.items.shape[0], self.features.num_items + 1
        row_BK = torch.arange(rows, device=item_Q.device)[:, None].expand_as(near.session)
        cell_Q = (row_BK * size).flatten().index_select(0, neighbour_Q) + item_Q
        no_votes_BV = mask_padding(popular.FAINT * self.popularity[None]).repeat(rows, 1)
        return no_votes_BV.flatten().scatter_add_(0, cell_Q, vote_Q).reshape(rows, size)

    def nearest(self, batch: SessionBatch) -> Nearest:
        """The most similar of the sampled sessions, nearest first: votes are added in one order on every machine. Of equal
        ones the newer is nearer.
        """
        sessions = self.session_starts.shape[0] - 1
        places = self.places_of_items if self._by_distance() else None
        index = SessionsOfItems(self.item_starts, self.sessions_of_items, places, sessions)
        most = min(self.config.sample_size, sessions)
        last_BL = last_events(batch)
        found = sample(index, batch.items, last_BL, self._weights(batch) * last_BL, most)
        similarity_BC, one_B1 = self._similarity(found, batch)
        newer_first_C = torch.arange(most - 1, -1, -1, device=similarity_BC.device)
        key_BK, at_BK = (similarity_BC * most + newer_first_C).topk(min(self.config.neighbours, most), 1)
        steps_BK = batch.lengths[:, None] - found.latest.gather(1, at_BK)
        similarity_BK = (key_BK // most / one_B1).float()
        place_BK = None if found.place is None else found.place.gather(1, at_BK)
        return Nearest(found.session.gather(1, at_BK), similarity_BK, steps_BK, place_BK)

    def _by_distance(self) -> bool:
        return self.config.method == "vstan" and self.config.lambda_inh is not None

    def _weights(self, batch: SessionBatch) -> Int[Tensor, "B L"]:
        """What each event weighs in the similarity, as a whole number."""
        order_L = torch.arange(1, batch.items.shape[1] + 1, device=batch.items.device)
        if self.config.method == "v_sknn":
            return order_L * self.item_weights[batch.items]
        if self.config.lambda_spw is None:
            return FINE * batch.mask().long()
        back_BL = (batch.lengths[:, None] - order_L).clamp(min=0).double()
        return (FINE * torch.exp(-back_BL / self.config.lambda_spw)).round().long()

    def _similarity(self, found: Sampled, batch: SessionBatch) -> tuple[Int[Tensor, "B C"], Int[Tensor, "B 1"]]:
        """Similarity of the sampled sessions as a whole number, and the number that stands for 1."""
        if self.config.method == "v_sknn":
            return found.shared, UNIT * batch.lengths.clamp(min=1)[:, None]
        there_BC = found.shared > 0
        age_BC = torch.where(there_BC, self.ages[found.session], float("inf"))
        younger_BC = torch.exp(age_BC.amin(1, keepdim=True).clamp(max=1e300) - age_BC)
        items_BC = self.session_starts[found.session + 1] - self.session_starts[found.session]
        cosine_BC = found.shared.double() * younger_BC / items_BC.clamp(min=1).double().sqrt()
        relative_BC = cosine_BC / cosine_BC.amax(1, keepdim=True).clamp(min=1e-300)
        return (FINE * relative_BC).round().long(), torch.full_like(batch.lengths[:, None], FINE)

    def _vote_decay(self, steps_BK: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        if self.config.method == "vstan":
            return (
                torch.ones_like(steps_BK).float()
                if self.config.lambda_ipw is None
                else torch.exp((1 - steps_BK) / self.config.lambda_ipw)
            )
        if self.config.decay == "none":
            return torch.ones_like(steps_BK).float()
        return 1 / steps_BK if self.config.decay == "reciprocal" else (1 - steps_BK / 10).clamp(min=0)
