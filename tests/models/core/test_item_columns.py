"""What items are, as part of their vectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.core import registry
from models.core.base import Features, SessionModel
from models.core.batch import SessionBatch
from models.core.item_columns import ItemColumns
from pipelines.stores import weights
from tests.models.conftest import ZOO

SIZES = {"category": 6, "brand": 5}
VALUES = {"category": torch.tensor([0, 4, 5, 4]), "brand": torch.tensor([0, 4, 0, 1])}
SESSION = SessionBatch(torch.tensor([[1, 2, 1]]), torch.tensor([3]))
SEQUENCE_MODELS = [name for name in registry.names() if "item_columns" in ZOO[name]]


def columns() -> ItemColumns:
    made = ItemColumns(SIZES, num_items=3, size=8)
    made.know(VALUES)
    return made


def model(name: str, **changes: Any) -> SessionModel:
    torch.manual_seed(1)
    kind = registry.find(name)
    config = kind.Config.model_validate({**ZOO[name], "item_columns": ["category", "brand"], **changes})
    made = kind(config, Features(num_items=3, max_session_length=4, cardinalities=SIZES))
    made.know(torch.tensor([0, 3, 2, 1]), VALUES)
    return made


def test_the_vectors_of_an_items_values_are_summed_and_what_is_not_known_adds_nothing() -> None:
    made = columns()
    category, brand = made.table.weight[:6], made.table.weight[6:]
    expected = torch.stack([torch.zeros(8), category[4] + brand[4], category[5], category[4] + brand[1]])
    torch.testing.assert_close(made(), expected)
    torch.testing.assert_close(made(torch.tensor([3, 3, 0])), expected[[3, 3, 0]])


def test_a_column_that_was_not_told_is_named() -> None:
    with pytest.raises(KeyError, match="brand"):
        ItemColumns(SIZES, num_items=3, size=8).know({"category": VALUES["category"]})


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_folded_the_scores_are_the_same(name: str, similarity: str) -> None:
    made = model(name, similarity=similarity).eval()
    if similarity == "dot":
        torch.nn.init.normal_(made.get_parameter("head.bias"))
    before = made.scores(SESSION)
    made.fold()
    assert not any("columns" in key for key in made.state_dict())
    torch.testing.assert_close(made.scores(SESSION), before)


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax"])
def test_an_item_learns_from_those_of_its_kind(name: str, loss: str) -> None:
    """Item 3 is in no session, but has item 1's category."""
    made = model(name, loss=loss, negatives=4, **({"repeats": False} if "repeats" in ZOO[name] else {}))
    for _ in range(20):  # a masked model may hide nothing
        made.loss(SESSION).backward()
    gradient = made.get_submodule("head.columns.table").weight.grad
    assert gradient[4].abs().sum() > 0
    assert gradient[0].abs().sum() == 0


def test_a_model_saved_before_there_were_item_columns_is_read(tmp_path: Path, train: Callable[..., SessionModel]) -> None:
    weights.save("gru4rec", train("gru4rec"), tmp_path)
    card = json.loads((tmp_path / weights.CARD).read_text())
    del card["config"]["item_columns"]
    (tmp_path / weights.CARD).write_text(json.dumps(card))
    assert weights.load(tmp_path).config.model_dump()["item_columns"] == ()
