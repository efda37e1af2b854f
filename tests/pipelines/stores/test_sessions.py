from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.errors import DataError
from pipelines.stores import sessions
from pipelines.stores.meanings import Meaning
from tests.pipelines.conftest import add_column

CPU = torch.device("cpu")
PARTS = ([[1, 2, 3], [4]], [[5, 6]], [[2, 1, 2, 1]])


@pytest.fixture
def etl(tmp_path: Path, write_etl: Callable[..., None]) -> Path:
    write_etl(PARTS, 6, tmp_path)
    return tmp_path


def test_a_batch_holds_the_sessions_asked_for_padded_to_the_longest(etl: Path) -> None:
    batch = sessions.load(CPU, folder=etl).batch(torch.tensor([2, 0]))
    assert batch.items.tolist() == [[5, 6, 0], [1, 2, 3]]
    assert batch.lengths.tolist() == [2, 3]


def test_columns_come_along_and_are_zero_where_there_is_no_event(etl: Path) -> None:
    data = sessions.load(CPU, ["timestamp"], etl)
    minutes = data.batch(torch.tensor([1, 2])).columns["timestamp"] // 60_000_000 % 1440
    assert minutes.tolist() == [[3, 0], [4, 5]]


def test_sessions_of_a_split_with_something_to_predict(etl: Path) -> None:
    data = sessions.load(CPU, folder=etl)
    assert data.of(0).tolist() == [0, 1]
    assert data.of(0, at_least=2).tolist() == [0]
    assert data.of(2).tolist() == [3]


def test_features_come_from_the_schema(etl: Path) -> None:
    features = sessions.load(CPU, folder=etl).features
    assert (features.num_items, features.max_session_length) == (6, 4)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 100])
def test_parts_hold_every_session_once_and_at_most_that_many_predictions(etl: Path, rows: int) -> None:
    data = sessions.load(CPU, folder=etl)
    parts = list(data.parts(torch.arange(4), rows))
    assert torch.cat(parts).tolist() == [0, 1, 2, 3]
    assert all(int((data.lengths[part] - 1).sum()) <= max(rows, 3) for part in parts)
    assert len(parts) <= math.ceil(6 / rows) + 2


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no schema": (lambda etl: (etl / "schema.json").unlink(), "schema.json is not there"),
    "schema cut short": (lambda etl: (etl / "schema.json").write_text('{"num_items": 6'), "not valid JSON"),
    "schema without items": (lambda etl: (etl / "schema.json").write_text('{"max_session_length": 4}'), "cannot be used"),
    "no items": (lambda etl: (etl / "columns/item_id.npy").unlink(), "item_id.npy is not there"),
    "items cut short": (lambda etl: (etl / "columns/item_id.npy").write_bytes(b"\x93NUMPY"), "cannot be read"),
    "an item too many": (lambda etl: np.save(etl / "columns/item_id.npy", np.full(10, 7)), "outside 1..6"),
    "padding as an item": (lambda etl: np.save(etl / "columns/item_id.npy", np.zeros(10, int)), "outside 1..6"),
    "offsets of other events": (lambda etl: np.save(etl / "offsets.npy", np.array([0, 3, 4, 6, 11])), "does not rise"),
    "offsets that fall": (lambda etl: np.save(etl / "offsets.npy", np.array([0, 4, 3, 6, 10])), "does not rise"),
    "split of other sessions": (lambda etl: np.save(etl / "split.npy", np.zeros(3, np.int8)), "3 sessions in split.npy"),
    "a session too long": (lambda etl: set_longest(etl, 3), "max_session_length is 3"),
}


def set_longest(etl: Path, length: int) -> None:
    schema = json.loads((etl / "schema.json").read_text())
    (etl / "schema.json").write_text(json.dumps({**schema, "max_session_length": length}))


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_data_set_is_refused_with_the_file_and_the_values(etl: Path, case: str) -> None:
    hurt, message = BROKEN[case]
    hurt(etl)
    with pytest.raises(DataError, match="(?s)" + message) as caught:
        sessions.load(CPU, folder=etl)
    assert str(etl) in caught.value.where


def test_an_unknown_column_lists_the_known_ones(etl: Path) -> None:
    with pytest.raises(DataError, match="no column 'timestampp'") as caught:
        sessions.load(CPU, ["timestampp"], etl)
    assert "did you mean 'timestamp'?" in caught.value.next_step


def test_a_column_of_other_length_is_refused(etl: Path) -> None:
    np.save(etl / "columns/timestamp.npy", np.zeros(3, np.int64))
    with pytest.raises(DataError, match="has 3 events, item_id has 10"):
        sessions.load(CPU, ["timestamp"], etl)


def test_columns_of_indices_and_of_numbers(etl: Path) -> None:
    add_column(etl, "category", [4, 5, 3, 4, 5, 2, 4, 5, 4, 1], ["toys", "books"])
    add_column(etl, "price", range(10), mean=1.0, std=2.0)
    data = sessions.load(CPU, ["category", "price"], etl)
    assert data.features.cardinalities == {"category": 6}
    assert data.columns["price"].dtype == torch.float32
    assert data.batch(torch.tensor([2])).columns["category"].tolist() == [[5, 2]]
    assert data.notes == ()


def test_columns_are_given_as_the_model_knows_them(etl: Path) -> None:
    add_column(etl, "category", [4, 5, 3, 4, 5, 2, 4, 5, 4, 1], ["toys", "books"])
    add_column(etl, "price", range(10), mean=1.0, std=2.0)
    known = {
        "category": Meaning(role="categorical", values=("shoes", "books", "tools")),
        "price": Meaning(role="continuous", mean=0, std=1),
    }
    data = sessions.load(CPU, ["category", "price"], etl, known)
    assert data.features.cardinalities == {"category": 7}
    assert data.columns["category"].tolist() == [2, 5, 3, 2, 5, 2, 2, 5, 2, 1]
    assert data.columns["price"].tolist() == [0, *range(3, 20, 2)]  # 2 x + 1, but for the 0 that stands for null


@pytest.mark.parametrize(("value", "said"), [(1, "null"), (4, "'toys'")])
def test_a_column_of_one_value_is_noted(etl: Path, value: int, said: str) -> None:
    add_column(etl, "category", [value] * 6 + [5] * 4, ["toys", "books"])  # sessions of training have four events
    add_column(etl, "price", [0.0] * 10, mean=1.0, std=2.0)
    data = sessions.load(CPU, ["category", "price", "timestamp"], etl)
    assert [note.split(":")[0] for note in data.notes] == [
        f"column 'category' has one value in all training events ({said})",
        "column 'price' has one value in all training events (0)",
    ]


def test_numbers_and_indices_that_cannot_be_read_are_refused(etl: Path) -> None:
    add_column(etl, "price", [math.nan, math.inf, *range(8)])
    with pytest.raises(DataError, match="'price' holds 2 values that are no finite numbers"):
        sessions.load(CPU, ["price"], etl)
    add_column(etl, "category", [6] * 10, ["toys", "books"])
    with pytest.raises(DataError, match=r"'category' holds indices outside 1\.\.5"):
        sessions.load(CPU, ["category"], etl)


def test_the_item_is_no_column_beside_itself(etl: Path) -> None:
    with pytest.raises(DataError, match="no column 'item_id' to read beside the item") as caught:
        sessions.load(CPU, ["item_id"], etl)
    assert caught.value.next_step == "known: timestamp"


def test_items_have_the_value_of_their_last_training_event(etl: Path) -> None:
    add_column(etl, "category", [4, 5, 3, 4, 5, 2, 4, 5, 4, 1], ["toys", "books"])
    data = sessions.load(CPU, folder=etl, of_items=["category"])
    assert data.features.cardinalities == {"category": 6}
    assert data.batch(torch.tensor([2])).columns == {}
    items, values = data.items.tolist(), data.of_items["category"].tolist()
    training = int(data.offsets[int((data.split == 0).sum())])
    last = dict(zip(items[:training], values[:training], strict=True))
    assert data.item_values()["category"].tolist() == [0, *(last.get(item, 0) for item in range(1, 7))]
    everything = dict(zip(items, values, strict=True))
    assert data.item_values(0, 1, 2)["category"].tolist() == [0, *(everything.get(item, 0) for item in range(1, 7))]


def test_a_column_of_numbers_cannot_describe_items(etl: Path) -> None:
    add_column(etl, "price", range(10), mean=1.0, std=2.0)
    with pytest.raises(DataError, match="'price' cannot describe items") as caught:
        sessions.load(CPU, folder=etl, of_items=["price"])
    assert "item_columns" in caught.value.where
