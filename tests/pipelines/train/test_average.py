from __future__ import annotations

import torch
from torch import nn

from pipelines.train.average import Average


def test_the_average_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(8.0)
    average = Average(model, 0.5)
    model.weight.data.fill_(2.0)
    average.update()  # keeps 2/11 of 8
    assert average.means[0].item() == torch.tensor(2 + 6 * 2 / 11).item()
    for _ in range(50):
        average.update()  # from the 8th on it keeps a half
    model.weight.data.fill_(4.0)
    average.update()
    torch.testing.assert_close(average.means[0], torch.tensor([[3.0]]))


def test_the_model_holds_the_average_within_the_block_and_its_own_weights_after_it() -> None:
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(8.0)
    average = Average(model, 0.9)
    model.weight.data.fill_(2.0)
    with average.in_place():
        assert model.weight.item() == 8
    assert model.weight.item() == 2
    average.keep()
    assert model.weight.item() == 8


def test_without_decay_there_is_no_average() -> None:
    model = nn.Linear(1, 1)
    average = Average(model, 0.0)
    average.update()
    assert average.means == []
