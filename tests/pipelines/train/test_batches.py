from __future__ import annotations

import torch

from pipelines.train.batches import by_length


def cut(sessions: int, batch_size: int, seed: int = 0) -> tuple[list[torch.Tensor], torch.Tensor]:
    lengths = torch.arange(sessions) % 7 + 2
    numbers = torch.arange(100, 100 + sessions)
    return list(by_length(numbers, lengths, batch_size, torch.Generator().manual_seed(seed))), lengths


def test_every_session_is_in_one_batch() -> None:
    parts, _ = cut(1000, 16)
    assert torch.cat(parts).sort().values.tolist() == list(range(100, 1100))
    assert all(len(part) <= 16 for part in parts)


def test_sessions_of_a_batch_are_of_similar_length() -> None:
    parts, lengths = cut(1000, 16)
    in_batches = [lengths[part - 100] for part in parts]
    places = sum(int(found.max()) * len(found) for found in in_batches)
    assert 1 - int(lengths.sum()) / places < 0.05  # cut at random, three times as much is padding


def test_the_order_depends_on_the_seed_alone() -> None:
    first, again, other = (torch.cat(cut(1000, 16, seed)[0]) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
