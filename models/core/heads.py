"""From states to scores of items: one table for reading and for scoring, and the losses that train it.

Shapes  P states, D hidden size, V = num_items + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, Lt
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from models.core import config, losses
from models.core.base import mask_padding
from models.core.batch import PADDING
from models.core.item_columns import ItemColumns
from models.core.negatives import Negatives


class HeadConfig(config.Config):
    """How items are scored, and what is learned from the scores."""

    hidden_size: Annotated[PositiveInt, Le(4096), config.Search(32, 512, log=True)]
    """Width of the item table and of the states. Multiples of 32 are fast."""
    similarity: Literal["dot", "cosine"]
    """How a state meets an item's vector. dot: with a bias for each item. cosine: both have length 1,
    without bias (NISER, 2019)."""
    temperature: Annotated[PositiveFloat, Le(1.0), config.Search(0.03, 0.2, log=True)]
    """Cosines are divided by it before the softmax; dot products are not."""
    loss: Literal["full_softmax", "sampled_softmax", "bpr_max", "gbce"]
    """What is minimised. full_softmax: cross-entropy over all items; sampled_softmax: over drawn ones; bpr_max: the next
    item's score above those of the drawn ones (Hidasi and Karatzoglou, 2018); gbce: a yes or no for each (Petrov and
    Macdonald, 2023)."""
    label_smoothing: Annotated[float, Ge(0), Lt(1), config.Search(0.0, 0.2)]
    """Share 0..1 of the target's probability that is spread over all items (full_softmax)."""
    negatives: Annotated[PositiveInt, Le(1_000_000), config.Search(256, 8192, log=True)]
    """Items drawn for each batch, with replacement, shared by all its states (every loss but full_softmax)."""
    popularity_power: Annotated[float, Ge(0), Le(1), config.Search(0.0, 1.0)]
    """Negatives are drawn by (events + 1)^this: 0 uniformly, 1 by popularity."""
    in_batch_negatives: bool
    """The targets of the batch's other states are negatives too."""
    logq: Annotated[float, Ge(0), Le(1), config.Search(0.0, 1.0)]
    """How much of a negative's log-probability of being drawn is taken from its logit: 0 none, 1 all, which makes
    it an unbiased estimate of the full softmax (sampled_softmax)."""
    bpr_max_penalty: Annotated[float, Ge(0), Le(10), config.Search(0.0, 2.0)]
    """Weight of the negatives' squared scores (bpr_max)."""
    elu: Annotated[float, Ge(0), Le(2), config.Search(0.0, 1.0)]
    """Scores below 0 are bent to elu * (exp(score) - 1); 0 leaves them as they are (bpr_max)."""
    gbce_calibration: Annotated[float, Ge(0), Le(1), config.Search(0.0, 1.0)]
    """t of gBCE: 0 is binary cross-entropy, 1 gives calibrated probabilities (gbce)."""


class ItemHead(nn.Module):
    """The item table, the scores of all items for a state, and the loss of states whose next item is known."""

    bias: Tensor
    scored: Tensor | None

    def __init__(self, config: HeadConfig, num_items: int, columns: ItemColumns | None = None) -> None:
        super().__init__()
        self.config, self.num_items, self.columns = config, num_items, columns
        self.table = nn.Embedding(num_items + 1, config.hidden_size, padding_idx=PADDING)
        nn.init.uniform_(self.table.weight, -(config.hidden_size**-0.5), config.hidden_size**-0.5)
        nn.init.zeros_(self.table.weight[PADDING].detach())
        if config.similarity == "dot":
            self.bias = nn.Parameter(torch.zeros(num_items + 1))
        else:
            self.register_buffer("bias", torch.zeros(num_items + 1), persistent=False)
        self.register_buffer("scored", None, persistent=False)
        self.negatives = Negatives(num_items, config.popularity_power)

    def know(self, counts: Int[Tensor, "V"], values: Mapping[str, Int[Tensor, "V"]] | None = None) -> None:
        """Training events of each item: what negatives are drawn by. Its values in the columns that describe items."""
        self.negatives.know(counts)
        if self.columns is not None:
            self.columns.know(values or {})

    def vectors(self, items: Int[Tensor, "*N"] | None = None) -> Float[Tensor, "*N D"]:
        """Of these items, or of all: where they are read and where they are scored."""
        own: Tensor = self.table.weight if items is None else self.table(items)
        if self.columns is None:
            return own
        described: Tensor = self.columns(None if items is None else items.flatten())
        return own + described.view_as(own)

    def fold(self) -> None:
        """The columns' vectors become part of the items' own; what items are scored by is made once, the bias as one number
        more of each: it would be a pass over all scores."""
        with torch.no_grad():
            self.table.weight.copy_(self.vectors())
            self.columns = None
            self.scored = torch.cat([self._vector(self.table.weight), self._bias()[:, None]], 1)

    def loss(
        self,
        states: Float[Tensor, "P D"],
        targets: Int[Tensor, "P"],
        gain: Float[Tensor, "P"] | None = None,
        more: Float[Tensor, "P"] | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over the states. RuntimeError if it needs negatives and was not told the counts.

        gain, more  what items' scores have beside this head's (full_softmax only, which explains them)
        """
        chosen = self.config
        if chosen.loss == "full_softmax":
            return losses.full_softmax(
                self._state(states), self._vector(self.vectors()), self.bias, targets, chosen.label_smoothing, gain, more
            )
        items_N = torch.cat([targets, self.negatives.draw(chosen.negatives)])
        first = 0 if chosen.in_batch_negatives else len(targets)
        rows = self._state(states), self._vector(self.vectors(items_N)), self.bias[items_N], items_N
        if chosen.loss == "bpr_max":
            return losses.bpr_max(*rows, first, chosen.bpr_max_penalty, chosen.elu)
        if chosen.loss == "gbce":
            return losses.gbce(*rows, first, chosen.gbce_calibration, self.num_items)
        others = len(targets) - 1 if chosen.in_batch_negatives else 0
        log_expected_N = self.negatives.log_expected(items_N, chosen.negatives, others)
        return losses.sampled_softmax(*rows, chosen.logq * log_expected_N, first)

    def scores(self, states: Float[Tensor, "P D"]) -> Float[Tensor, "P V"]:
        """Of every item; -inf for padding."""
        states_PD = self._state(states)
        if self.scored is not None:
            return functional.linear(functional.pad(states_PD, (0, 1), value=1.0), self.scored).float()
        return functional.linear(states_PD, self._vector(self.vectors()), self._bias()).float()

    def scores_of(self, states: Float[Tensor, "X T D"], items: Int[Tensor, "X J"]) -> Float[Tensor, "X T J"]:
        """Of some items for each state."""
        vectors_XJD = self._vector(self.vectors(items))
        return self._state(states) @ vectors_XJD.transpose(1, 2) + self.bias[items][:, None]

    def _bias(self) -> Tensor:
        return mask_padding(self.bias[None])[0]

    def _state(self, states_XD: Tensor) -> Tensor:
        cosine = self.config.similarity == "cosine"
        return functional.normalize(states_XD, dim=-1) / self.config.temperature if cosine else states_XD

    def _vector(self, vectors_XD: Tensor) -> Tensor:
        return functional.normalize(vectors_XD, dim=-1) if self.config.similarity == "cosine" else vectors_XD
