"""A model that reads columns, from training to the evaluation on a newer data/etl that numbers their values anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from pipelines import stage
from pipelines.stores import sessions, weights
from tests.pipelines.conftest import add_column

TRAINING = [[1, 2, 3, 4], [2, 3, 4, 5], [5, 1, 2, 3]] * 4
VALID = [[1, 2, 3]]
TEST = [[1, 2, 3, 5], [4, 5, 1], [2, 4]]
EVENTS = sum(len(row) for row in [*TRAINING, *VALID, *TEST])
CATEGORY = np.arange(EVENTS) % 3 + 4
PRICE = np.linspace(-2, 2, EVENTS)


@pytest.fixture
def trained(workspace: Callable[..., Path], write_etl: Callable[..., None], mlflow_store: str) -> Callable[..., Path]:
    def make(columns: list[str], **changes: object) -> Path:
        folder = workspace(train__max_epochs=2, zoo__gru4rec__hidden_size=8, zoo__gru4rec__columns=columns, **changes)
        write_etl((TRAINING, VALID, TEST), 5)
        add_column(Path("data/etl"), "category", list(CATEGORY), ["toys", "books", "tools"])
        add_column(Path("data/etl"), "price", list(PRICE), mean=1.0, std=2.0)
        assert stage.main(["train", "gru4rec"]) == stage.DONE
        return folder

    return make


def ranks(name: str) -> pl.DataFrame:
    assert stage.main(["evaluate", name]) == stage.DONE
    return pl.read_parquet(f"data/evaluate/{name}/ranks.parquet")


def test_a_champion_reads_renumbered_columns_as_it_learned_them(trained: Callable[..., Path]) -> None:
    trained(["category", "price"])
    before = ranks("gru4rec")
    shutil.move("data/train/gru4rec", "data/train/champion")
    # the newer etl: books first, toys last, shoes new; prices around 3, half as wide
    add_column(Path("data/etl"), "category", list(np.array([7, 4, 6])[CATEGORY - 4]), ["books", "shoes", "tools", "toys"])
    add_column(Path("data/etl"), "price", list((PRICE * 2 + 1 - 3) / 1), mean=3.0, std=1.0)
    assert ranks("champion").equals(before)
    path = Path("data/train/champion/model.json")
    swapped = path.read_text().replace("toys", "t").replace("books", "toys").replace('"t"', '"books"')
    path.write_text(swapped)
    assert not ranks("champion").equals(before)  # the ranks do depend on the columns


def test_each_column_changes_what_is_learned(trained: Callable[..., Path]) -> None:
    measured = set()
    for columns in ([], ["category"], ["price"], ["category", "price"]):
        trained(columns)
        card = json.loads(Path("data/train/gru4rec/model.json").read_text())
        assert list(card.get("columns", {})) == columns
        model = weights.load(Path("data/train/gru4rec"))
        batch = sessions.load(torch.device("cpu"), columns).batch(torch.arange(3))
        measured.add(round(float(model.scores(batch)[0, 1].detach()), 5))
    assert len(measured) == 4


def test_columns_of_one_value_or_none_do_not_end_the_training(
    trained: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    trained([])
    add_column(Path("data/etl"), "category", [1] * EVENTS, [])  # null everywhere
    add_column(Path("data/etl"), "price", [0] * EVENTS, mean=0.0, std=1.0)
    values = Path("params.yaml").read_text().replace(" columns: []", " columns: [category, price]")
    Path("params.yaml").write_text(values)
    assert stage.main(["train", "gru4rec"]) == stage.DONE
    said = capsys.readouterr().err
    assert "column 'category' has one value in all training events (null)" in said
    assert "column 'price' has one value in all training events (0)" in said
    model = weights.load(Path("data/train/gru4rec"))
    assert all(bool(torch.isfinite(values).all()) for values in model.state_dict().values())


def test_given_prefixes_have_no_columns(trained: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    trained(["price"], evaluate__protocol="given_prefixes", evaluate__prefixes="given.parquet")
    assert stage.main(["evaluate", "gru4rec"]) == stage.FAILED
    assert "the model reads columns that given prefixes do not have" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["categry"], "did you mean 'category'? known: category, price, timestamp"),
        (["item_id"], "item_id is read in any case"),
        (["timestamp"], "name hour_sin, hour_cos"),
        (["price", "price"], "a column is named twice"),
    ],
)
def test_a_wrong_column_is_named_with_the_right_ones(
    trained: Callable[..., Path], capsys: pytest.CaptureFixture[str], columns: list[str], said: str
) -> None:
    with pytest.raises(AssertionError):
        trained(columns)
    assert said in capsys.readouterr().err


def test_a_model_that_lacks_the_meaning_of_its_columns_is_refused(
    trained: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    trained(["price"])
    path = Path("data/train/gru4rec/model.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "columns": {}}))
    assert stage.main(["evaluate", "gru4rec"]) == stage.FAILED
    assert "model.json does not say what the columns price mean" in capsys.readouterr().err


def test_a_champion_whose_columns_the_data_lack_does_not_end_the_run(
    trained: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    trained(["price"])
    shutil.move("data/train/gru4rec", "data/train/champion")
    schema = json.loads(Path("data/etl/schema.json").read_text())
    del schema["columns"]["price"]
    Path("data/etl/schema.json").write_text(json.dumps(schema))
    assert stage.main(["evaluate", "champion"]) == stage.DONE
    assert "no column 'price'" in json.loads(Path("data/evaluate/champion/metrics.json").read_text())["unmeasured"]
