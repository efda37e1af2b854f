"""Scores of many items for some states at a time, and the gradients of both, made where they stay in the cache.

Shapes  P states, R states padded to a multiple of 32, C states at a time, N items padded likewise, D hidden size,
        K = D and four columns more, padded likewise.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

NUMBERS_AT_ONCE = {"cpu": 2**23, "cuda": 2**28}
"""Scores held at once: on a CPU so many that they stay in its cache, on a GPU so few that they fit beside the model."""
STEP = 32
"""Sizes of matrix products are padded to its multiples: in bfloat16 CPUs multiply others at a quarter of the speed."""
FAR = -3e4
"""Score of what is no candidate, after the shift: finite, since it takes part in products, in any number type."""

_kept = threading.local()


class Scores:
    """Scores of items for states, chunk by chunk, and the gradients that come back.

    Bias and shift are columns of the product: they are added before the scores are rounded, so that scores near the shift
    are precise, and no pass over the scores is needed. Each stands in two columns, as a rounded number and the rest.

    states    [P, D]
    items     [N, D]
    bias      [N] added to the items' scores
    excluded  index of an item that is no candidate
    passes    how many tensors as large as the scores the caller holds
    """

    def __init__(self, states_PD: Tensor, items_ND: Tensor, bias_N: Tensor, excluded: int | None = None, passes: int = 1) -> None:
        device = states_PD.device
        self.exact = torch.promote_types(states_PD.dtype, torch.float32)
        autocast = torch.is_autocast_enabled(device.type)
        self.low = torch.get_autocast_dtype(device.type) if autocast else torch.promote_types(states_PD.dtype, items_ND.dtype)
        (self.num_states, self.size), self.num_items = states_PD.shape, len(items_ND)
        width, bias, shift = padded(self.size + 4), slice(self.size, self.size + 2), slice(self.size + 2, self.size + 4)

        self.states_RK = states_PD.new_zeros(padded(self.num_states), width, dtype=self.low)
        self.states_PK = self.states_RK[: self.num_states]
        self.states_PK[:, : self.size] = states_PD
        self.states_PK[:, bias] = 1
        self.shift_P2 = self.states_PK[:, shift]

        self.items_NK = scratch("items", (padded(self.num_items), width), self.low, device)
        self.items_NK[: self.num_items, : self.size] = items_ND
        self.items_NK[:, shift] = 1
        self.items_NK[:, self.size + 4 :] = 0
        self._split(self.items_NK[: self.num_items, bias], bias_N)
        for none in (slice(self.num_items, None), slice(0) if excluded is None else excluded):
            self.items_NK[none] = 0
            self.items_NK[none, self.size] = FAR

        self.grad_PD = states_PD.new_empty(self.num_states, self.size, dtype=self.exact)
        self.grad_ND = items_ND.new_empty(len(self.items_NK), self.size, dtype=self.exact)
        self.grad_N = items_ND.new_zeros(len(self.items_NK), dtype=self.exact)
        at_once = NUMBERS_AT_ONCE.get(device.type, NUMBERS_AT_ONCE["cpu"])
        most = max(1, at_once // passes // len(self.items_NK) // STEP) * STEP
        self.rows = padded(-(-len(self.states_RK) // -(-len(self.states_RK) // most)))

    def of_own(self, items_PK: Tensor, bias_P: Tensor) -> Tensor:
        """[P] each state's score of an item of its own, exact but for the rounding of the vectors."""
        states_PD, items_PD = (each[:, : self.size].to(self.exact) for each in (self.states_PK, items_PK))
        return (states_PD * items_PD).sum(1) + bias_P

    def shift(self, down_P: Tensor) -> None:
        """Take as much from all scores of each state."""
        self._split(self.shift_P2, -down_P)

    def parts(self) -> Iterator[tuple[slice, int]]:
        """Chunks of the padded states, and how many in each are states."""
        for begin in range(0, len(self.states_RK), self.rows):
            end = min(begin + self.rows, len(self.states_RK))
            yield slice(begin, end), min(end, self.num_states) - begin

    def of(self, part: slice) -> Tensor:
        """[C, N] the chunk's scores of all items, in memory that the next call writes anew."""
        into_CN = scratch("scores", (part.stop - part.start, len(self.items_NK)), self.low, self.items_NK.device)
        return torch.mm(self.states_RK[part], self.items_NK.T, out=into_CN)

    def learn(self, part: slice, wrong_CN: Tensor, weight_C: Tensor) -> None:
        """Take the gradient of the chunk's scores, times a weight for each state, back to states, items and bias."""
        count = min(part.stop, self.num_states) - part.start
        weight_C = weight_C.clone()
        weight_C[count:] = 0
        states_CD, items_ND = self.states_RK[part, : self.size], self.items_NK[:, : self.size]
        torch.mul((wrong_CN @ items_ND)[:count], weight_C[:count, None], out=self.grad_PD[part.start :][:count])
        weighted_CD = (states_CD * weight_C[:, None]).to(self.low)
        first = part.start == 0
        if self.low == self.exact:
            self.grad_ND.addmm_(wrong_CN.T, weighted_CD, beta=0 if first else 1)
        else:
            grad_ND = scratch("items' gradient", tuple(self.grad_ND.shape), self.low, wrong_CN.device)
            torch.mm(wrong_CN.T, weighted_CD, out=grad_ND)
            self.grad_ND = self.grad_ND.copy_(grad_ND) if first else self.grad_ND.add_(grad_ND)
        self.grad_N += torch.mm(weight_C[None].to(self.low), wrong_CN)[0]  # a row times a matrix: mv would go down its columns

    def gradients(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of states, items and bias."""
        return self.grad_PD, self.grad_ND[: self.num_items], self.grad_N[: self.num_items]

    def _split(self, into_X2: Tensor, values_X: Tensor) -> None:
        into_X2[:, 0] = values_X
        into_X2[:, 1] = values_X.to(self.exact) - into_X2[:, 0].to(self.exact)


def padded(size: int) -> int:
    """The next multiple of STEP, which is never 0."""
    return max(1, -(-size // STEP)) * STEP


def scratch(name: str, shape: tuple[int, ...], kind: torch.dtype, device: torch.device) -> Tensor:
    """Memory to write in. On a CPU it is kept from call to call: the system hands out new memory slower than it is filled."""
    if device.type != "cpu":
        return torch.empty(shape, dtype=kind, device=device)
    numbers = torch.Size(shape).numel()
    kept: dict[tuple[str, torch.dtype], Tensor] = vars(_kept).setdefault("tensors", {})
    if (name, kind) not in kept or kept[name, kind].numel() < numbers:
        kept[name, kind] = torch.empty(numbers, dtype=kind)
    return kept[name, kind][:numbers].view(shape)


def keep(context: Any, gradients: Sequence[Tensor]) -> None:
    """Gradients that were made beside the loss, for `give`."""
    context.gradients = gradients


def give(context: Any, grad: Tensor) -> tuple[Tensor, ...]:
    """The gradients, once: they are handed on, not copied."""
    if context.gradients is None:
        raise RuntimeError("the gradients of this loss were taken already: compute the loss again")
    gradients, context.gradients = context.gradients, None
    if grad.device.type == "cpu" and grad.item() == 1:
        return tuple(gradients)
    return tuple(each.mul_(grad) for each in gradients)
