"""What a transformer knows of order and time: a vector for each place, or a bias for each pair of events.

Source  Kang and McAuley, ICDM 2018, https://arxiv.org/abs/1808.09781 (learned positions); Raffel et al., JMLR 2020,
        https://arxiv.org/abs/1910.10683 (a learned bias by distance, shared by all layers); Li et al., WSDM 2020 (TiSASRec)
        and Zhai et al., ICML 2024, https://arxiv.org/abs/2402.17152 (a learned bias by the logarithm of the time between).
Differs Distances are not put into buckets: sessions are short. Times are those of the two events themselves: HSTU's code
        takes the time of the event to be predicted, which nobody knows beforehand.
Shapes  B sessions, L events, D hidden size, H heads.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from models.core.batch import SessionBatch

TIMESTAMP = "timestamp"
"""Column of times, microseconds since 1970."""
TIME_BUCKETS = 64
"""The last one begins at 2**31.5 seconds, which is a lifetime."""


class PlaceVectors(nn.Module):
    """A learned vector for each place, added to the event's."""

    def __init__(self, num_places: int, hidden_size: int, from_end: bool) -> None:
        super().__init__()
        self.from_end = from_end
        self.vectors = nn.Parameter(torch.randn(num_places, hidden_size) * 0.02)

    def forward(self, events: Float[Tensor, "B L D"], lengths: Int[Tensor, "B"]) -> Float[Tensor, "B L D"]:
        """Counted from the first event, or from the last if the whole session is read at once (padding: any vector)."""
        if not self.from_end:
            return events + self.vectors[: events.shape[1]]
        places_L = torch.arange(events.shape[1], device=events.device)
        return events + functional.embedding((lengths[:, None] - 1 - places_L).clamp(min=0), self.vectors)


class PairBias(nn.Module):
    """A learned number for each head and each distance of two events, in places, in time, or both."""

    def __init__(self, num_places: int, heads: int, by_place: bool, by_time: bool) -> None:
        super().__init__()
        self.num_places = num_places
        self.places = nn.Parameter(torch.zeros(2 * num_places - 1, heads)) if by_place else None
        self.times = nn.Parameter(torch.zeros(TIME_BUCKETS, heads)) if by_time else None

    def forward(self, batch: SessionBatch) -> Float[Tensor, "#B H L L"] | None:
        """Entry [.., i, j] is added when event i looks at event j; None if neither is switched on."""
        parts_BHLL = []
        if self.places is not None:
            place_L = torch.arange(batch.items.shape[1], device=batch.items.device)
            apart_LL = place_L[:, None] - place_L + self.num_places - 1
            parts_BHLL.append(functional.embedding(apart_LL, self.places).permute(2, 0, 1)[None])
        if self.times is not None:
            buckets_BLL = time_buckets(batch.columns[TIMESTAMP])
            parts_BHLL.append(functional.embedding(buckets_BLL, self.times).permute(0, 3, 1, 2))
        return sum(parts_BHLL[1:], parts_BHLL[0]) if parts_BHLL else None


def time_buckets(timestamps_us: Int[Tensor, "B L"]) -> Int[Tensor, "B L L"]:
    """Two buckets for each doubling of the time between two events: 0 s is 0, 1 s is 2, 3 s is 4, 7 s is 6."""
    apart_s_BLL = (timestamps_us[:, :, None] - timestamps_us[:, None, :]).abs().float() * 1e-6
    # a hair more: a whole number of doublings must not fall on either side, here or in the exported graph
    buckets_BLL = 2 * torch.log2(1 + apart_s_BLL) + 1e-4
    return buckets_BLL.long().clamp(max=TIME_BUCKETS - 1)
