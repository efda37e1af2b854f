from __future__ import annotations

import torch

from models.core.batch import SessionBatch
from models.core.positions import TIME_BUCKETS, PairBias, PlaceVectors, time_buckets

SECOND_US = 1_000_000


def test_two_buckets_for_each_doubling() -> None:
    times = torch.tensor([[0, 1, 3, 7, 15, 10**10]]) * SECOND_US
    assert time_buckets(times)[0, 0].tolist() == [0, 2, 4, 6, 8, TIME_BUCKETS - 1]
    assert time_buckets(times)[0, :, 2].tolist() == [4, 3, 0, 4, 7, TIME_BUCKETS - 1]  # log2(1 + 2) * 2 = 3.17; 5 s: 5.17 ..


def test_microseconds_since_1970_keep_their_seconds() -> None:
    now = 1_795_219_200 * SECOND_US
    assert time_buckets(torch.tensor([[now, now + SECOND_US, now + 4 * SECOND_US]]))[0, 2].tolist() == [4, 4, 0]


def test_a_pair_gets_the_sum_of_its_place_and_time_bias() -> None:
    pairs = PairBias(num_places=3, heads=2, by_place=True, by_time=True)
    torch.nn.init.normal_(pairs.places)
    torch.nn.init.normal_(pairs.times)
    times = torch.tensor([[0, 1, 8]]) * SECOND_US
    bias = pairs(SessionBatch(torch.tensor([[1, 2, 3]]), torch.tensor([3]), {"timestamp": times}))
    assert bias.shape == (1, 2, 3, 3)
    torch.testing.assert_close(bias[0, :, 2, 0], pairs.places[2 + 2] + pairs.times[6])  # 2 places, 8 s: log2(9) * 2 = 6.3
    torch.testing.assert_close(bias[0, :, 0, 1], pairs.places[2 - 1] + pairs.times[2])


def test_neither_is_no_bias() -> None:
    assert PairBias(3, 2, by_place=False, by_time=False)(SessionBatch(torch.tensor([[1]]), torch.tensor([1]))) is None


def test_places_are_counted_from_the_first_or_from_the_last_event() -> None:
    events, lengths = torch.zeros(2, 3, 4), torch.tensor([3, 2])
    first, last = PlaceVectors(5, 4, from_end=False), PlaceVectors(5, 4, from_end=True)
    assert torch.equal(first(events, lengths)[1], first.vectors[:3])
    assert torch.equal(last(events, lengths)[0], last.vectors[[2, 1, 0]])
    assert torch.equal(last(events, lengths)[1, :2], last.vectors[[1, 0]])
