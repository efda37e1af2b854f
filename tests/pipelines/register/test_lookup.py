"""Every id finds its own index, and a stranger finds none, whatever ids look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.register.lookup import Lookup
from pipelines.stores.answers import NO_ITEM

CHANCE = np.random.default_rng(5)
IDS = {
    "one": np.array([5]),
    "far apart": np.array([0, 1, 2**62, -(2**62), 2**63 - 1]),
    "in a row": np.arange(3000),
    "steps": np.arange(3000) * 7 - 20,
    "upper half only": np.arange(1, 3000) * 2**40,
    "hashes of texts": CHANCE.integers(0, 2**63 - 1, 20_000),
    "as many as slots allow": CHANCE.choice(10**9, 50_000, replace=False),
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_are_found_and_strangers_are_not(kind: str) -> None:
    ids = IDS[kind]
    lookup = Lookup(ids)
    found = lookup(torch.from_numpy(ids)[None])
    assert found.tolist() == [list(range(1, len(ids) + 1))]
    strangers = np.setdiff1d(np.concatenate([ids[:1000] + 1, ids[:1000] - 1, [NO_ITEM, 2**63 - 2]]), ids)
    assert not lookup(torch.from_numpy(strangers)[None]).any()


def test_the_same_id_twice_is_no_vocabulary() -> None:
    with pytest.raises(AssertionError, match="are they all different"):
        Lookup(np.array([4, 5, 4]))
