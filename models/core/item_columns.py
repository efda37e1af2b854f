"""What items are, beside who they are: vectors of their category, brand and the like are part of the items' own vectors.

An item that few sessions have seen borrows from those of its kind, where it is read and where it is scored.

Source  Hidasi et al., RecSys 2016, https://doi.org/10.1145/2959100.2959167 (features of items in session models); one sum for
        reading and scoring after Rendle, ICDM 2010 (attributes as further factors of one vector).
Shapes  V = num_items + 1, C columns, N items, D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from models.core.batch import PADDING


class ItemColumns(nn.Module):
    """The sum of the vectors of an item's values, one of each column.

    sizes  number of indices of each column, padding included
    """

    index: Tensor

    def __init__(self, sizes: Mapping[str, int], num_items: int, size: int) -> None:
        super().__init__()
        self.starts = dict(zip(sizes, accumulate(sizes.values(), initial=0), strict=False))
        self.table = nn.Embedding(sum(sizes.values()), size, padding_idx=PADDING)
        nn.init.uniform_(self.table.weight, -(size**-0.5), size**-0.5)
        nn.init.zeros_(self.table.weight[PADDING].detach())
        self.register_buffer("index", torch.full((num_items + 1, len(sizes)), PADDING))

    def know(self, values: Mapping[str, Int[Tensor, "V"]]) -> None:
        """The index of each item's value in each column, PADDING where it is not known: then that column adds nothing.

        KeyError names a column that is not there.
        """
        columns = [values[name].where(values[name] == PADDING, values[name] + start) for name, start in self.starts.items()]
        self.index.copy_(torch.stack(columns, 1))

    def forward(self, items: Int[Tensor, "N"] | None = None) -> Float[Tensor, "N D"]:
        """Of these items; of all, in the order of their indices, if none are named."""
        rows_NC = self.index if items is None else self.index[items]
        return functional.embedding_bag(rows_NC, self.table.weight, mode="sum", padding_idx=PADDING)
