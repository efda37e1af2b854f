"""From states to scores of items: one table for reading and for scoring, and the losses that train it.

Shapes  P states, D hidden size, V = num_items + 1.
"""

from __future__ import annotations

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


class HeadConfig(config.Config):
    """How items are scored, and what is learned from the scores."""

    hidden_size: Annotated[PositiveInt, Le(4096), config.Search(32, 512, log=True)]
    """Width of the item table and of the states. Multiples of 32 are fast."""
    similarity: Literal["dot", "cosine"]
    """How a state meets an item's vector. dot: with a bias for each item. cosine: both have length 1 (NISER, 2019)."""
    temperature: Annotated[PositiveFloat, Le(1.0), config.Search(0.03, 0.2, log=True)]
    """Cosines are divided by it before the softmax; dot products are not."""
    loss: Literal["full_softmax"]
    """What is minimised."""
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

    def __init__(self, config: HeadConfig, num_items: int) -> None:
        super().__init__()
        self.config = config
        self.table = nn.Embedding(num_items + 1, config.hidden_size, padding_idx=PADDING)
        self.bias = nn.Parameter(torch.zeros(num_items + 1))
        nn.init.uniform_(self.table.weight, -(config.hidden_size**-0.5), config.hidden_size**-0.5)
        nn.init.zeros_(self.table.weight[PADDING].detach())

    def know(self, counts: Int[Tensor, "V"]) -> None:
        """Training events of each item: what negatives are drawn by."""

    def loss(self, states: Float[Tensor, "P D"], targets: Int[Tensor, "P"]) -> Float[Tensor, ""]:
        """Mean over the states."""
        states_PD, table_VD = self._ready(states)
        return losses.full_softmax(states_PD, table_VD, self.bias, targets)

    def scores(self, states: Float[Tensor, "P D"]) -> Float[Tensor, "P V"]:
        """Of every item; -inf for padding."""
        states_PD, table_VD = self._ready(states)
        return mask_padding(functional.linear(states_PD, table_VD, self.bias).float())

    def _ready(self, states_PD: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.similarity == "dot":
            return states_PD, self.table.weight
        return functional.normalize(states_PD, dim=-1) / self.config.temperature, functional.normalize(self.table.weight, dim=-1)
