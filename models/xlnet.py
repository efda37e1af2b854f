"""XLNet as Transformers4Rec trains it: relative attention, and four ways to make a target of an event.

Source   de Souza Pereira Moreira et al., RecSys 2021, https://doi.org/10.1145/3460231.3474255 (the four objectives on
         sessions); Yang et al., NeurIPS 2019, https://arxiv.org/abs/1906.08237 (XLNet: permutations, two streams); Dai et al.,
         ACL 2019, https://arxiv.org/abs/1901.02860 (relative attention); Clark et al., ICLR 2020,
         https://arxiv.org/abs/2003.10555 (replaced-token detection).
Differs  Norms before the layers, and one behind the last; the permutation's targets are single events instead of spans.
         Sessions that are cut behind their only hidden event are mixed in (next_share), which the paper does not do.
         Generator and discriminator of the replaced-token detection are one network, as in the paper's code; a replaced event
         keeps its other columns. No memory of earlier segments and no segment vectors: a session is read as a whole.
Shapes   B sessions, L events, D hidden size, H heads, E = D / H, V = num_items + 1.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from models.core import config
from models.core.base import Features, SessionModel
from models.core.batch import SessionBatch, at
from models.core.masking import VISIBLE, HiddenEvent, MaskingConfig, hide, with_next
from models.core.relative import RelativeLayer
from models.core.sampling import draw
from models.core.sequence import SequenceModel
from models.core.transformer import AttentionConfig, numbers_per_session


class XLNetConfig(MaskingConfig, AttentionConfig):
    """Settings of XLNet."""

    objective: Literal["causal", "masked", "permutation", "replaced_tokens"]
    """causal: each event from those before it. masked: hidden events from all others. permutation: hidden events one after
    the other in a random order, each from the visible ones and the hidden ones before it. replaced_tokens: masked, and every
    event is told from one that the model put there."""
    replaced_weight: Annotated[float, Ge(0), Le(100), config.Search(0.1, 50, log=True)]
    """Weight of telling own from replaced events beside finding hidden ones (objective: replaced_tokens)."""


class XLNet(SequenceModel):
    Config: ClassVar[type[XLNetConfig]] = XLNetConfig
    learning_rate: ClassVar[float] = 0.002
    config: XLNetConfig

    def __init__(self, config: XLNetConfig, features: Features) -> None:
        super().__init__(config, features)
        self.layers = nn.ModuleList(RelativeLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden_size)
        if config.objective != "causal":
            self.hidden = HiddenEvent(config.hidden_size)
        if config.objective == "replaced_tokens":
            self.replaced = nn.Linear(config.hidden_size, 1)

    def states(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """Of sessions without a hidden event. objective = causal: each has seen its event and those before; else all events."""
        return self.read(self.inputs(batch), batch.mask())

    def read(self, events: Float[Tensor, "B L D"], happened: Bool[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """One stream: from event vectors to states."""
        sees = happened[:, None]
        if self.config.objective == "causal":
            sees = sees & _past(happened.shape[1], happened.device)
        for layer in self.layers:
            events = layer(events, events, sees)
        normed_BLD: Tensor = self.norm(events)
        return normed_BLD

    def about(self, batch: SessionBatch, rank: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """What is known of each hidden event (rank: `masking.hide`) without itself; other places may hold anything."""
        hidden_BL, events_BLD = rank != VISIBLE, self.inputs(batch)
        if self.config.objective != "permutation":
            return self.read(self.hidden(events_BLD, hidden_BL), batch.mask())
        sees_BLL = visible(rank, batch.mask())
        with_itself_BLL = sees_BLL | torch.eye(rank.shape[1], dtype=torch.bool, device=rank.device)
        about_BLD = self.hidden(events_BLD, torch.ones_like(hidden_BL))
        for number, layer in enumerate(self.layers, 1):
            about_BLD = layer(about_BLD, events_BLD, sees_BLL)
            if number < len(self.layers):
                events_BLD = layer(events_BLD, events_BLD, with_itself_BLL)
        normed_BLD: Tensor = self.norm(about_BLD)
        return normed_BLD

    def loss(self, batch: SessionBatch) -> Float[Tensor, ""]:
        if self.config.objective == "causal":
            return super().loss(batch)
        batch, rank_BL = hide(batch, self.config)
        hidden_BL = rank_BL != VISIBLE
        states_PD, targets_P = self.about(batch, rank_BL)[hidden_BL], batch.items[hidden_BL]
        loss: Tensor = self.head.loss(states_PD, targets_P)
        if self.config.objective == "replaced_tokens":
            told = self.told(batch, replaced(batch, hidden_BL, draw(self.head, states_PD.detach())))
            loss = loss + self.config.replaced_weight * told
        return loss

    def told(self, batch: SessionBatch, seen: SessionBatch) -> Float[Tensor, ""]:
        """Binary cross-entropy of each event's being replaced; an event that was drawn as it was is not replaced."""
        happened_BL = batch.mask()
        logits_BL: Tensor = self.replaced(self.states(seen)).squeeze(-1).float()
        labels_BL = (seen.items != batch.items).float()
        return functional.binary_cross_entropy_with_logits(logits_BL[happened_BL], labels_BL[happened_BL])

    def scores(self, batch: SessionBatch) -> Float[Tensor, "B V"]:
        """causal: by the last state. Else the next event is a hidden one behind the last."""
        if self.config.objective == "causal":
            return super().scores(batch)
        longer, rank_BL = with_next(batch, self.features.max_session_length)
        return self.head.scores(at(self.about(longer, rank_BL), longer.last()))

    def scores_everywhere(self, batch: SessionBatch) -> Float[Tensor, "P V"]:
        """causal: one pass. Else prefix by prefix: what comes later would change the states of what came before."""
        if self.config.objective == "causal":
            return super().scores_everywhere(batch)
        return SessionModel.scores_everywhere(self, batch)

    def numbers_per_row(self) -> int:
        return super().numbers_per_row() + numbers_per_session(self.config, self.features.max_session_length)


def visible(rank: Int[Tensor, "B L"], happened: Bool[Tensor, "B L"]) -> Bool[Tensor, "B L L"]:
    """Whether place i may look at place j to find its item: visible events, and hidden ones of a lower rank; never itself."""
    own_BL1, other_B1L = rank[:, :, None], rank[:, None, :]
    return happened[:, None, :] & (other_B1L < own_BL1.clamp(min=0))


def replaced(batch: SessionBatch, hidden: Bool[Tensor, "B L"], drawn: Int[Tensor, "P"]) -> SessionBatch:
    """The sessions with other items in the hidden places."""
    return SessionBatch(batch.items.masked_scatter(hidden, drawn), batch.lengths, batch.columns)


def _past(width: int, device: torch.device) -> Tensor:
    places = torch.arange(width, device=device)
    return places[:, None] >= places
