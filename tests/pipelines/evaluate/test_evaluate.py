"""The stage as it is called: `python -m pipelines evaluate <model>`, with numbers worked by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from mlflow import MlflowClient

from models.core import registry
from pipelines import stage

TRAINING = [[1, 1, 1, 2], [1, 2, 3, 2]]  # 1 four times, 2 three times, 3 once; 4 and 5 never
VALID = [[1, 2]]
TEST = [[1, 2, 3], [4], [2, 4]]
# popularity ranks 1, 2, 3, and 4 with 5 last. Predictions: 2 (rank 2), 3 (rank 3), 4 (rank 5: 5 has its score)


@pytest.fixture
def run_folder(workspace: Callable[..., Path], write_etl: Callable[..., None], mlflow_store: str) -> Callable[..., Path]:
    def make(parts: Any = (TRAINING, VALID, TEST), num_items: int = 5, **changes: Any) -> Path:
        small = {
            "train__max_epochs": 1,
            "zoo__gru4rec__hidden_size": 4,
            "evaluate__cold_below": 2,
            "evaluate__popular_share": 0.2,
        }
        folder = workspace(**{**small, **changes})
        write_etl(parts, num_items)
        return folder

    return make


def trained(name: str = "popularity") -> None:
    assert stage.main(["train", name]) == stage.DONE


def evaluated(name: str = "popularity") -> dict[str, Any]:
    assert stage.main(["evaluate", name]) == stage.DONE
    return read(name, "metrics.json")


def read(name: str, file: str) -> dict[str, Any]:
    return dict(json.loads((Path("data/evaluate") / name / file).read_text()))


def ranks(name: str = "popularity") -> list[tuple[int, ...]]:
    return pl.read_parquet(f"data/evaluate/{name}/ranks.parquet", columns=["session", "position", "target", "rank"]).rows()


def test_every_event_after_the_first_is_a_prediction(run_folder: Callable[..., Path]) -> None:
    run_folder()
    trained()
    found = evaluated()
    assert ranks() == [(3, 1, 2, 2), (3, 2, 3, 3), (5, 1, 4, 5)]
    assert (found["predictions"], found["sessions"], found["num_items"]) == (3, 2, 5)
    assert found["recall_at_1"] == 0
    assert found["recall_at_5"] == 1
    assert found["mrr_at_20"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 5) / 3)
    assert found["coverage_at_20"] == 1  # five items, lists of five
    assert found["mean_popularity_at_20"] == pytest.approx((1 + 3 / 4 + 1 / 4 + 0 + 0) / 5)
    assert found["unseen_share"] == pytest.approx(2 / 8)  # of summary.json: 2 of 8 test events


def test_ranks_are_small_whole_numbers(run_folder: Callable[..., Path]) -> None:
    run_folder()
    trained()
    evaluated()
    frame = pl.read_parquet("data/evaluate/popularity/ranks.parquet")
    numbers = ("session", "position", "target", "rank")
    assert {name: frame.schema[name] for name in numbers} == dict.fromkeys(numbers, pl.Int32)
    assert {frame.schema[name].base_type() for name in frame.columns if name not in numbers} == {pl.Enum}


def test_last_item_asks_once_per_session(run_folder: Callable[..., Path]) -> None:
    run_folder(evaluate__protocol="last_item")
    trained()
    evaluated()
    assert ranks() == [(3, 2, 3, 3), (5, 1, 4, 5)]


@pytest.mark.parametrize("name", registry.names())
def test_last_item_and_every_position_agree(run_folder: Callable[..., Path], name: str) -> None:
    run_folder()
    trained(name)
    evaluated(name)
    everywhere = {row[:2]: row for row in ranks(name)}
    run_folder(evaluate__protocol="last_item")
    evaluated(name)
    assert ranks(name) == [everywhere[3, 2], everywhere[5, 1]]


def test_given_prefixes_are_asked_by_the_ids_of_the_source(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(evaluate__protocol="given_prefixes", evaluate__prefixes="given.parquet")
    trained("session_popularity")
    # the source's id is the index + 1000; 77 is in no vocabulary
    rows = {"prefix": [[1003], [77, 1004], [77], [1001]], "label": [1003, 1004, 1001, 77]}
    pl.DataFrame(rows).write_parquet(folder / "given.parquet")
    found = evaluated("session_popularity")
    # the items of the session come first; a session of unknown items gets the popularity list; an unknown target is last
    assert ranks("session_popularity") == [(0, 1, 3, 1), (1, 2, 4, 1), (2, 1, 1, 1), (3, 1, 6, 5)]
    assert found["recall_at_1"] == 0.75


def test_each_prediction_names_its_slices(run_folder: Callable[..., Path]) -> None:
    run_folder(evaluate__short_until=2, evaluate__long_from=4)
    trained()
    evaluated()
    frame = pl.read_parquet("data/evaluate/popularity/ranks.parquet")
    found = frame.select("session_class", "target_popularity", "category", "day").rows()
    day = "2024-10-06"  # the targets are 2, 3, 4: toys.dolls, books, none
    assert found == [("middle", "middle", "toys", day), ("middle", "cold", "books", day), ("short", "cold", None, day)]


def test_categories_may_be_taken_apart_further(run_folder: Callable[..., Path]) -> None:
    run_folder(evaluate__category_levels=2)
    trained()
    evaluated()
    assert pl.read_parquet("data/evaluate/popularity/ranks.parquet")["category"].to_list() == ["toys.dolls", "books", None]
    assert list(read("popularity", "slices.json")["category"]) == ["books", "toys.dolls"]


def test_a_champion_that_cannot_be_read_does_not_end_the_run(
    run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Damaged, of older code, or not pulled at all: metrics.json says why, old ranks are gone, and the stage is done."""
    run_folder()
    trained("gru4rec")
    evaluated("gru4rec")
    home = Path("data/train/champion")
    Path("data/train/gru4rec").rename(home)
    assert "mrr_at_20" in evaluated("champion")
    card, weight = (home / "model.json").read_text(), (home / "weights.safetensors").read_bytes()
    older = card.replace("hidden_size", "size")
    for spoiled, said in (
        (older, "the settings do not fit"),
        ('{"name": ', "model.json is broken"),
    ):
        (home / "model.json").write_text(spoiled)
        assert said in evaluated("champion")["unmeasured"]
    assert not Path("data/evaluate/champion/ranks.parquet").exists()
    assert "the gate will refuse" in capsys.readouterr().err
    (home / "model.json").write_text(card)
    (home / "weights.safetensors").write_bytes(weight[:100])
    assert "the weights cannot be read" in evaluated("champion")["unmeasured"]
    (home / "unreadable.json").write_text('{"model": "m", "version": 4, "why": "model.onnx is not what was registered"}')
    assert evaluated("champion") == {"unmeasured": "model.onnx is not what was registered (version 4 of m)"}


def test_another_model_that_cannot_be_read_is_an_error(
    run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder()
    trained()
    Path("data/train/popularity/model.json").write_text("{")
    assert "model.json is broken" in refused(["evaluate", "popularity"], capsys)


def test_slices_by_length_popularity_and_day(run_folder: Callable[..., Path]) -> None:
    run_folder()
    trained()
    evaluated()
    found = read("popularity", "slices.json")
    assert {label: part["predictions"] for label, part in found["session_length"].items()} == {"2": 1, "3": 2}
    # one item of five is popular (1), fewer than 2 training events are cold (3, 4, 5): targets 2, 3, 4
    assert {label: part["predictions"] for label, part in found["target_popularity"].items()} == {"cold": 2, "middle": 1}
    assert found["target_popularity"]["cold"]["mrr_at_20"] == pytest.approx((1 / 3 + 1 / 5) / 2)
    assert list(found["day"]) == ["2024-10-06"]


def test_memory_is_bounded_and_parts_change_nothing(run_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import metrics

    run_folder()
    trained("session_knn")
    whole = (evaluated("session_knn"), ranks("session_knn"))
    monkeypatch.setitem(metrics.NUMBERS_AT_ONCE, "cpu", 1)
    assert (evaluated("session_knn"), ranks("session_knn")) == whole


def test_test_metrics_join_the_run_of_the_training(run_folder: Callable[..., Path], mlflow_store: str) -> None:
    run_folder()
    trained()
    found = evaluated()
    number = json.loads(Path("data/train/popularity/run.json").read_text())["mlflow_run_id"]
    logged = MlflowClient(tracking_uri=mlflow_store).get_run(number).data.metrics
    assert logged["test_mrr_at_20"] == pytest.approx(found["mrr_at_20"])
    assert "valid_mrr_at_20" in logged


def test_without_a_champion_it_says_so(run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_folder()
    assert evaluated("champion") == {"absent": True}
    assert "no champion yet" in capsys.readouterr().err


@pytest.mark.parametrize("name", registry.names())
def test_a_champion_with_fewer_items_is_asked_as_it_would_be_served(
    run_folder: Callable[..., Path], write_etl: Callable[..., None], name: str
) -> None:
    run_folder((TRAINING, VALID, [[1, 2]]), num_items=3)
    trained(name)
    evaluated(name)
    known = ranks(name)
    Path("data/train", name).rename("data/train/champion")
    # 4 and 5 are new: as targets they are last (rank 5); in a session they are left out; alone they mean the popularity list
    write_etl((TRAINING, VALID, [[1, 2], [1, 4, 2], [4, 1], [1, 5]]), 5)
    evaluated("champion")
    found = ranks("champion")
    assert found[0] == known[0]
    assert found[1] == (4, 1, 4, 5)
    assert found[2] == (4, 2, 2, known[0][3])  # as after [1]
    assert found[3] == (5, 1, 1, 1)  # 1 is the most popular item
    assert found[4] == (6, 1, 5, 5)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert stage.main(words) == stage.FAILED
    return capsys.readouterr().err


def test_an_empty_test_split_is_an_error(run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_folder((TRAINING, VALID, [[1]]))
    trained()
    said = refused(["evaluate", "popularity"], capsys)
    assert "the test split is empty" in said
    assert "1 of 4 sessions are test sessions" in said
    assert "split.test_days" in said


def test_a_model_that_was_not_trained_is_an_error(run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_folder()
    assert "python -m pipelines train popularity" in refused(["evaluate", "popularity"], capsys)


def test_a_model_of_more_items_than_the_data_is_an_error(
    run_folder: Callable[..., Path], write_etl: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder()
    trained()
    write_etl((TRAINING, VALID, [[1, 2]]), 4)
    assert "the model knows 5 items, the data only 4" in refused(["evaluate", "popularity"], capsys)


@pytest.mark.parametrize(("prefixes", "message"), [(None, "no file is named"), ("absent.parquet", "cannot be read")])
def test_given_prefixes_without_a_file_are_an_error(
    run_folder: Callable[..., Path], capsys: pytest.CaptureFixture[str], prefixes: str | None, message: str
) -> None:
    run_folder(evaluate__protocol="given_prefixes", evaluate__prefixes=prefixes)
    trained()
    assert message in refused(["evaluate", "popularity"], capsys)


def test_results_of_an_earlier_evaluation_do_not_stay(run_folder: Callable[..., Path]) -> None:
    run_folder()
    trained()
    evaluated()
    Path("data/evaluate/popularity/old.json").write_text("{}")
    evaluated()
    assert not Path("data/evaluate/popularity/old.json").exists()
