"""What losses over a sample of items share: the rows of the sample, the states' own items among them.

Shapes  P states, C states at a time, N rows: the P targets, then what was drawn; M = N - first rows that are negatives,
        padded to a multiple of 32; D hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.core.losses.chunks import Scores


class Sample:
    """Scores of the rows from `first` on for all states, and of each state's own item."""

    def __init__(
        self, states_PD: Tensor, vectors_ND: Tensor, bias_N: Tensor, less_N: Tensor, items_N: Tensor, first: int, passes: int
    ) -> None:
        self.states, self.vectors, self.bias, self.first = states_PD, vectors_ND, bias_N, first
        negatives = slice(first, None)
        scores = Scores(states_PD, vectors_ND[negatives], bias_N[negatives] - less_N[negatives], passes=passes)
        self.scores, self.num_states = scores, len(states_PD)
        self.own_PD = vectors_ND[: self.num_states].to(scores.low).to(scores.exact)
        self.own_P = scores.of_own(self.own_PD, bias_N[: self.num_states])
        self.targets_R = items_N.new_full((len(scores.states_RK),), -1, dtype=torch.int32)
        self.targets_R[: self.num_states] = items_N[: self.num_states]
        self.items_M = items_N.new_zeros(len(scores.items_NK), dtype=torch.int32)
        self.items_M[: len(items_N) - first] = items_N[negatives]

    def hits(self, part: slice) -> Tensor:
        """[C, M] where a row holds the state's own item."""
        return self.targets_R[part, None] == self.items_M

    def gradients(self, grad_P: Tensor) -> list[Tensor]:
        """Of states, vectors and bias, after that of the own scores is added."""
        grad_PD, grad_MD, grad_M = self.scores.gradients()
        grad_PD.addcmul_(grad_P[:, None], self.own_PD)
        grad_ND, grad_N = grad_MD, grad_M
        if self.first:
            grad_ND, grad_N = grad_MD.new_zeros(self.vectors.shape), grad_M.new_zeros(len(self.vectors))
            grad_ND[self.first :], grad_N[self.first :] = grad_MD, grad_M
        grad_ND[: self.num_states].addcmul_(grad_P[:, None], self.scores.states_PK[:, : self.scores.size].to(grad_P.dtype))
        grad_N[: self.num_states] += grad_P
        likes = (self.states, self.vectors, self.bias)
        return [grad.to(like.dtype) for grad, like in zip((grad_PD, grad_ND, grad_N), likes, strict=True)]
