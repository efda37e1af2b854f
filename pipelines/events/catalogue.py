"""The simulated shop's shelves: items with category, brand and price, and the latent interests that order them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TREE = {
    "electronics": ("smartphone", "tablet", "audio.headphone", "audio.speaker", "clocks", "video.tv"),
    "computers": ("notebook", "desktop", "components.memory", "components.cpu", "peripherals.mouse", "peripherals.printer"),
    "appliances": ("kitchen.kettle", "kitchen.oven", "kitchen.blender", "environment.vacuum", "iron", "personal.hair_cutter"),
    "apparel": ("shoes.sneakers", "shoes.boots", "shirt", "jeans", "dress", "jacket"),
    "furniture": (
        "living_room.sofa",
        "living_room.shelving",
        "bedroom.bed",
        "bedroom.blanket",
        "kitchen.table",
        "bathroom.mirror",
    ),
    "sport": ("bicycle", "tennis", "ski", "trainer", "tent", "diving"),
    "kids": ("carriage", "toys", "dolls", "swing", "skates", "books"),
    "garden": ("grill", "mower", "hose", "seeds", "bench", "lamp"),
}
LEAVES = [f"{root}.{leaf}" for root, leaves in TREE.items() for leaf in leaves]
SYLLABLES = ("no", "va", "lu", "mi", "ka", "to", "re", "si", "do", "fi", "be", "ra")

SUCCESSORS = 3
FOLLOWED = np.array([0.6, 0.9, 1.0])
"""Cumulative chances of an item's three successors inside an interest."""
ZIPF = 0.8
INTERESTS_PER_ITEM = 2


@dataclass
class Catalogue:
    """Items 0..N-1, and slots 0..2N-1: an item inside an interest. Slots of one interest are neighbours.

    details      [N] `,product_id,category_id,category_code,brand,` as it stands in a row
    price_cents  [N] on the first day
    born         [N] first day it is sold, 0 = from the beginning
    slot_item    [S]; slot_weight [S] popularity; successors [S, 3] slots of the same interest
    begin, end   [K] first slot of each interest, and one past the last
    """

    details: list[str]
    price_cents: Ints
    born: Ints
    slot_item: Ints
    slot_weight: Floats
    successors: Ints
    begin: Ints
    end: Ints


def build(rng: np.random.Generator, num_items: int, num_interests: int, days: int) -> Catalogue:
    popularity: Floats = np.arange(1, num_items + 1, dtype=np.float64) ** -ZIPF
    interests = np.stack([rng.permutation(num_items) % num_interests for _ in range(INTERESTS_PER_ITEM)])
    slot_item = np.tile(np.arange(num_items), INTERESTS_PER_ITEM)
    slot_interest = interests.ravel()
    order = np.lexsort((slot_item, slot_interest))
    slot_item, slot_interest = slot_item[order], slot_interest[order]
    begin = np.searchsorted(slot_interest, np.arange(num_interests), "left")
    end = np.searchsorted(slot_interest, np.arange(num_interests), "right")
    weight: Floats = popularity[slot_item]
    late = rng.random(num_items) < 0.25
    born = np.where(late, rng.integers(0, max(1, days), num_items), 0)
    return Catalogue(
        details=_details(rng, num_items, interests[0]),
        price_cents=np.maximum(99, np.exp(rng.normal(8.2, 1.1, num_items)).astype(np.int64)),
        born=born,
        slot_item=slot_item,
        slot_weight=weight,
        successors=rewired(rng, np.sqrt(weight), begin, end, slot_interest),
        begin=begin,
        end=end,
    )


def rewired(rng: np.random.Generator, weight: Floats, begin: Ints, end: Ints, interest: Ints) -> Ints:
    """[len(interest), 3] successors: slots of the same interest, popular ones more often."""
    return drawn(rng, weight, begin[interest][:, None], end[interest][:, None], (len(interest), SUCCESSORS))


def drawn(rng: np.random.Generator, weight: Floats, begin: Ints, end: Ints, shape: Any) -> Ints:
    """Slots by weight, each between its begin and end."""
    sums = np.concatenate([[0.0], np.cumsum(weight)])
    low, high = sums[begin], sums[end]
    found = np.searchsorted(sums, low + rng.random(shape) * (high - low), "right") - 1
    bounded: Ints = np.clip(found, begin, end - 1)
    return bounded


def _details(rng: np.random.Generator, num_items: int, interest: Ints) -> list[str]:
    """Items of one interest spread over four leaves of the tree; a third have no category code, a sixth no brand."""
    leaf = (interest * 7 + rng.integers(0, 4, num_items) * 11) % len(LEAVES)
    brands = [a + b for a in SYLLABLES for b in SYLLABLES if a != b]
    brand = (leaf * 13 + rng.integers(0, 8, num_items)) % len(brands)
    ids = rng.choice(90_000_000, num_items, replace=False) + 1_000_000
    no_category, no_brand = rng.random(num_items) < 0.3, rng.random(num_items) < 0.15
    return [
        f",{ids[i]},{2_053_013_550_000_000_000 + int(leaf[i])},{'' if no_category[i] else LEAVES[leaf[i]]},"
        f"{'' if no_brand[i] else brands[brand[i]]},"
        for i in range(num_items)
    ]
