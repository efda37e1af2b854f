"""Indices of raw ids, inside the graph: a perfect hash, made once for the vocabulary, so that a lookup is a dozen operations.

Source   Fox, Heath, Chen and Daoud, SIGIR 1992, https://doi.org/10.1145/133160.133209; Belazzougui, Botelho and Dietzfelbinger,
         ESA 2009, https://doi.org/10.1007/978-3-642-04128-0_61: hash and displace. A bucket's displacement is the first one
         that sends all of its ids to free slots; large buckets choose first.
Differs  Buckets and slots are powers of two. aten.searchsorted has no ONNX form, and a binary search takes eight operations
         for each of its 17 steps at 50,000 items.
Shapes   N items, R buckets, S slots.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor, nn

from pipelines.stores.answers import NO_ITEM

FACTORS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Odd, of 64 bits, from the golden ratio and from splitmix64 (Steele, Lea and Flood, 2014). Products wrap around."""
HALF = 2**32
"""The upper half of a product is mixed, the lower half is not."""
FEWEST_SLOTS = 1024
LARGEST = 1 << 16
"""Displacements that are tried. The last one of a million buckets takes some hundreds."""
TRIES = 16
"""Sets of factors that are tried; about one set in 100,000 gives two ids of a vocabulary the same three hashes."""

Numbers = npt.NDArray[np.int64]


class Lookup(nn.Module):
    """Index of each id, 1..N in the order given; 0 for an id that is not there, and for NO_ITEM."""

    displacements: Int[Tensor, "R"]
    slot_ids: Int[Tensor, "S"]
    slot_indices: Int[Tensor, "S"]

    def __init__(self, ids: Numbers) -> None:
        super().__init__()
        slots = max(FEWEST_SLOTS, 1 << int(np.ceil(np.log2(len(ids) * 1.3 + 1))))
        self.factors, displacements, place = first(ids.astype(np.int64), slots)
        slot_ids, slot_indices = np.full(slots, NO_ITEM), np.zeros(slots, dtype=np.int64)
        slot_ids[place], slot_indices[place] = ids, np.arange(1, len(ids) + 1)
        for name, values in (("displacements", displacements), ("slot_ids", slot_ids), ("slot_indices", slot_indices)):
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, ids: Int[Tensor, "B X"]) -> Int[Tensor, "B X"]:
        bucket, begin, step = hashes(ids, self.factors)
        shift = self.displacements[bucket & (len(self.displacements) - 1)]
        slot = (begin + shift * step) & (len(self.slot_ids) - 1)
        return torch.where(self.slot_ids[slot] == ids, self.slot_indices[slot], 0)


def hashes(ids: Int[Tensor, "*N"], factors: tuple[int, ...]) -> list[Int[Tensor, "*N"]]:
    """Three numbers of 32 bits, with a sign, for each id."""
    mixed = ids + torch.div(ids, HALF, rounding_mode="trunc")  # products pass nothing down to lower bits; still one to one
    return [torch.div(mixed * factor, HALF, rounding_mode="trunc") for factor in factors]


def first(ids: Numbers, slots: int) -> tuple[tuple[int, ...], Numbers, Numbers]:
    """The first factors that keep all ids apart, with what `displace` gives for them."""
    for number in range(1, 2 * TRIES, 2):
        factors = tuple((factor * number + 2**63) % 2**64 - 2**63 for factor in FACTORS)
        bucket, begin, step = (values.numpy() for values in hashes(torch.from_numpy(ids), factors))
        found = displace(bucket & (slots // 4 - 1), begin, step, slots)
        if found:
            return factors, *found
    raise AssertionError(f"no factors keep {len(ids)} ids apart: are they all different?")


def displace(bucket: Numbers, begin: Numbers, step: Numbers, slots: int) -> tuple[Numbers, Numbers] | None:
    """[R] each bucket's displacement, [N] each id's slot; None if two ids cannot be kept apart. slots is a power of two."""
    order, sizes = np.argsort(bucket, kind="stable"), np.bincount(bucket, minlength=slots // 4)
    ends = sizes.cumsum()
    displacements, place = np.zeros(slots // 4, dtype=np.int64), np.empty(len(bucket), dtype=np.int64)
    taken = bytearray(slots)
    for one in np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())].tolist():
        members = order[ends[one] - sizes[one] : ends[one]]
        pairs = list(zip((begin[members] % slots).tolist(), (step[members] % slots).tolist(), strict=True))
        if len(set(pairs)) < len(pairs):
            return None
        for shift in range(LARGEST):
            tried = [(first + shift * more) & (slots - 1) for first, more in pairs]
            if len(set(tried)) == len(tried) and not any(taken[slot] for slot in tried):
                break
        else:
            return None
        displacements[one], place[members] = shift, tried
        for slot in tried:
            taken[slot] = 1
    return displacements, place
