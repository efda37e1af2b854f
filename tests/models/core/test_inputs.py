"""Event vectors, worked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.core.base import Features
from models.core.batch import SessionBatch
from models.core.inputs import EventInputs, InputConfig, Numbers

FEATURES = Features(num_items=3, max_session_length=4, cardinalities={"category": 6, "brand": 2000})
BASE: dict[str, Any] = {
    "embedding_dropout": 0.0,
    "columns": ("category", "price"),
    "item_columns": (),
    "merge": "add",
    "column_size": None,
    "numbers": "linear",
    "bins": 5,
}
BATCH = SessionBatch(
    torch.tensor([[1, 3, 0]]),
    torch.tensor([2]),
    {"category": torch.tensor([[4, 5, 0]], dtype=torch.int32), "price": torch.tensor([[0.5, -1.0, 0.0]])},
)


def inputs(**changes: Any) -> EventInputs:
    torch.manual_seed(1)
    return EventInputs(InputConfig(**{**BASE, **changes}), FEATURES, nn.Embedding(4, 8, padding_idx=0), 8).eval()


def normed(vectors: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(vectors, vectors.shape[-1:])


def parts(made: EventInputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What is merged, by the definition: item, category, price."""
    item = normed(made.vectors[0].weight[BATCH.items])
    category = normed(made.of_index["category"].table.weight[BATCH.columns["category"].long()])
    price = normed(BATCH.columns["price"][..., None] * made.of_number.slope[0] + made.of_number.start[0])
    return item, category, price


def test_without_columns_the_vector_is_the_items_own() -> None:
    made = inputs(columns=())
    assert torch.equal(made(BATCH), made.vectors[0].weight[BATCH.items])
    assert not list(made.parameters())


def test_add_and_multiply() -> None:
    made = inputs()
    item, category, price = parts(made)
    torch.testing.assert_close(made(BATCH), item + category + price)
    made = inputs(merge="multiply")
    item, category, price = parts(made)
    torch.testing.assert_close(made(BATCH), item * (category + price))


def test_concat() -> None:
    made = inputs(merge="concat", column_size=3)
    torch.testing.assert_close(made(BATCH), torch.cat(parts(made), -1) @ made.join.weight.T + made.join.bias)
    assert made.join.in_features == 8 + 3 + 3


def test_the_width_of_a_column_follows_from_its_values() -> None:
    """8 * 6**0.25 = 12.5 and 8 * 2000**0.25 = 53.5, but at most the hidden size."""
    config = InputConfig(**{**BASE, "merge": "concat", "columns": ("category", "brand")})
    made = EventInputs(config, FEATURES, nn.Embedding(4, 32), 32)
    assert [made.of_index[name].table.embedding_dim for name in ("category", "brand")] == [13, 32]


def test_a_soft_one_hot_begins_as_bins() -> None:
    """5 bins have their centres at -2, -1, 0, 1, 2; a number is a mean by exp(-distance**2 / 2) of a bin's width."""
    numbers = Numbers(InputConfig(**{**BASE, "numbers": "soft_one_hot"}), 2, 8)
    values = torch.tensor([[[0.5, -2.0]]])
    centres = torch.tensor([-2.0, -1, 0, 1, 2])
    for column in range(2):
        share = torch.exp(-((values[0, 0, column] - centres) ** 2) / 2)
        expected = normed((share / share.sum()) @ numbers.table[column])
        torch.testing.assert_close(numbers(values)[0, 0, column], expected)


@pytest.mark.parametrize("numbers", ["linear", "soft_one_hot"])
@pytest.mark.parametrize("merge", ["concat", "add", "multiply"])
def test_constant_and_extreme_values_stay_finite(merge: str, numbers: str) -> None:
    made = inputs(merge=merge, numbers=numbers).train()
    for price in (0.0, 1e4, -1e4):
        columns = {"category": torch.ones(1, 3, dtype=torch.int32), "price": torch.full((1, 3), price)}
        made(SessionBatch(BATCH.items, BATCH.lengths, columns)).sum().backward()
    assert all(bool(torch.isfinite(value.grad).all()) for value in made.parameters() if value.grad is not None)
