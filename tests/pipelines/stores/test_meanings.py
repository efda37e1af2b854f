"""Columns of a newer etl, as a model knows them that has learned from an older one: worked by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import DataError
from pipelines.stores import meanings
from pipelines.stores.meanings import Meaning
from tests.pipelines.conftest import add_column

OLD = Meaning(role="categorical", values=("toys", "books"), rare=("tools",))


def test_an_index_goes_through_the_value_it_stands_for() -> None:
    newer = Meaning(role="categorical", values=("games", "books", "toys", "tools"), rare=("shoes",))
    # padding, null, unseen, rare; games is unseen there, books was 5 and is 5, toys was 6 and is 4, tools is rare there
    found = meanings.translate(np.arange(8, dtype=np.int32), newer, OLD)
    assert found.tolist() == [0, 1, 2, 3, 2, 5, 4, 3]
    assert found.dtype == np.int32


def test_a_number_goes_through_what_it_was_before_it_was_scaled() -> None:
    newer, older = Meaning(role="continuous", mean=3, std=2), Meaning(role="continuous", mean=1, std=4)
    # 1 stands for 1 * 2 + 3 = 5, which is (5 - 1) / 4 = 1 there; 0 stands for null
    assert meanings.translate(np.array([1, -1, 0], np.float32), newer, older).tolist() == [1, 0, 0]
    assert meanings.translate(np.array([3.0], np.float32), newer, older).tolist() == [2]


def test_the_same_meaning_and_times_are_untouched() -> None:
    values = np.array([5, 4], np.int32)
    assert meanings.translate(values, OLD, OLD) is values
    times = Meaning(role="time")
    assert meanings.translate(values, times, times) is values


def test_words_for_indices_and_indices_for_words() -> None:
    assert [OLD.index(text) for text in (None, "shoes", "tools", "toys", "books")] == [1, 2, 3, 4, 5]
    assert [OLD.text(index) for index in (1, 2, 3, 4, 5)] == ["null", "unseen", "rare", "'toys'", "'books'"]


@pytest.fixture
def etl(tmp_path: Path, write_etl: Callable[..., None]) -> Path:
    write_etl(([[1, 2]], [[1, 2]], [[2, 1]]), 2, tmp_path)
    add_column(tmp_path, "category", [4, 5, 4, 5, 3, 1], ["toys", "books"], ["tools"])
    add_column(tmp_path, "price", [0.5] * 6, mean=2.0, std=3.0, transform="words")
    return tmp_path


def described(etl: Path) -> dict[str, dict[str, object]]:
    return dict(json.loads((etl / "schema.json").read_text())["columns"])


def test_meanings_are_read_from_what_etl_wrote(etl: Path) -> None:
    found = meanings.read(["category", "price", "timestamp"], described(etl), etl)
    price = Meaning(role="continuous", mean=2, std=3)
    assert found == {"category": OLD, "price": price, "timestamp": Meaning(role="time")}


def test_values_that_are_not_there_or_of_another_run_are_refused(etl: Path) -> None:
    columns = described(etl)
    columns["category"]["cardinality"] = 9
    with pytest.raises(DataError, match="there are 2 values, the column's indices end at 8"):
        meanings.read(["category"], columns, etl)
    (etl / "values/category.parquet").unlink()
    with pytest.raises(DataError, match="values of a column cannot be read"):
        meanings.read(["category"], described(etl), etl)
