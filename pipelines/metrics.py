"""Ranking metrics, and the one way to get the rank of a target: all items ranked, ties against the model.

Shapes  P predictions, V = num_items + 1 (index 0 is padding), k cutoff.
With one relevant item for each prediction, recall@k is the share of targets among the first k (HR@k).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

CUTOFFS = (1, 5, 10, 20)
NUMBERS_AT_ONCE = {"cpu": 2**21, "cuda": 2**28}
"""What ranking holds in memory at once: on a CPU so much as stays in its cache (2.7 times faster than 2**25)."""
LIST = 20
"""Length of the list that a visitor is shown; coverage and popularity are of this list."""
GROUP = 32
"""Items that are looked at as one when the best are sought."""
EXACT = 2**24
"""Ones that can be added up in float32."""


def rows_at_once(numbers_per_row: int, device: torch.device) -> int:
    """Predictions to score together, so that memory is bounded whatever the size of the data."""
    return max(1, NUMBERS_AT_ONCE.get(device.type, 2**21) // numbers_per_row)


def ranks(scores: Float[Tensor, "P V"], targets: Int[Tensor, "P"]) -> Int[Tensor, "P"]:
    """Rank of each target, 1 is best. An item with the target's score, or with NaN, stands before it."""
    below = torch.empty_like(scores[:, 1:])
    torch.lt(scores[:, 1:], scores.gather(1, targets[:, None]), out=below)  # as numbers: truth values are added six times slower
    return below.shape[1] - torch.cat([part.sum(1, keepdim=True).long() for part in torch.split(below, EXACT, 1)], 1).sum(1)


def summary(ranks: Int[Tensor, "P"]) -> dict[str, float]:
    """recall_at_k, mrr_at_k and ndcg_at_k for every cutoff; of no ranks at all, nothing."""
    return dict(_summary(ranks.double())) if len(ranks) else {}


def _summary(ranks: Float[Tensor, "P"]) -> Iterator[tuple[str, float]]:
    for name, gain in (("recall", torch.ones_like(ranks)), ("mrr", 1 / ranks), ("ndcg", 1 / torch.log2(ranks + 1))):
        for cutoff in CUTOFFS:
            yield f"{name}_at_{cutoff}", float((gain * (ranks <= cutoff)).mean())


def top(scores: Float[Tensor, "P V"]) -> Int[Tensor, "P k"]:
    """The list shown for each prediction, best first.

    An item of the list is the best of its group or shares it with one that is: so many groups as the list is long hold all of
    it, and only their items are sorted.
    """
    length, groups = min(LIST, scores.shape[1] - 1), scores.shape[1] // GROUP
    if groups <= length:
        return scores.topk(length, 1).indices
    grouped, rest = groups * GROUP, torch.arange(groups * GROUP, scores.shape[1], device=scores.device)
    best = torch.unflatten(scores[:, :grouped], 1, (GROUP, groups)).amax(1).topk(length, 1, sorted=False).indices
    steps = torch.arange(0, grouped, groups, device=scores.device)
    places = torch.cat([(best[:, :, None] + steps).flatten(1), rest.expand(len(scores), -1)], 1)
    return places.gather(1, scores.gather(1, places).topk(length, 1).indices)


def relative_popularity(counts: Int[Tensor, "V"]) -> Float[Tensor, "V"]:
    """Training events of each item, 0 (the rarest item) to 1 (the most popular one); padding has 0."""
    items = counts[1:].double()
    spread = (items.max() - items.min()).clamp(min=1)
    return torch.cat([items.new_zeros(1), (items - items.min()) / spread])


class Shown:
    """What the lists hold together, fed part by part: how wide and how even the catalogue is shown, and how new it is.

    exposure  in how many lists each item stands
    """

    def __init__(self, counts: Int[Tensor, "V"]) -> None:
        self.popularity = relative_popularity(counts)
        self.exposure: Int[Tensor, "V"] = torch.zeros_like(counts, dtype=torch.int64)
        self.lists, self.repeats = 0, self.exposure.new_zeros(())

    def add(self, lists: Int[Tensor, "P k"], sessions: Int[Tensor, "P L"]) -> None:
        """sessions: the items each list was made from, padded."""
        places = lists.flatten()
        self.exposure.scatter_add_(0, places, torch.ones_like(places))
        self.lists += len(lists)
        again = torch.zeros_like(lists, dtype=torch.bool)
        for item in sessions.T[:, :, None]:
            again |= lists == item
        self.repeats += again.sum()

    def summary(self) -> dict[str, float]:
        """Of the lists shown, the names with their cutoff:

        coverage         share of all items that stand in at least one list
        mean_popularity  see relative_popularity
        gini             of the items' exposure: 0 all items are shown alike, 1 one item is all that is shown
                         (Fleder and Hosanagar, Management Science 2009)
        repeat_share     share of the places that hold an item which the session held already
        overlap          share of items that two lists have in common, mean over pairs of lists: 1 everybody is shown the same
                         (one minus the inter-list distance of Zhou et al., PNAS 2010)
        """
        shown = self.exposure[1:].double()
        total, items, pairs = float(shown.sum()), len(shown), float(shown @ (shown - 1))
        rank = torch.arange(1, items + 1, device=shown.device, dtype=shown.dtype)
        uneven = float(((2 * rank - items - 1) * shown.sort().values).sum())
        found = {
            "coverage": float((shown > 0).sum() / items),
            "mean_popularity": float(self.popularity @ self.exposure.double()) / max(total, 1),
            "gini": uneven / max(items * total, 1),
            "repeat_share": float(self.repeats) / max(total, 1),
            "overlap": pairs / max(total * (self.lists - 1), 1),
        }
        return {f"{name}_at_{LIST}": value for name, value in found.items()}
