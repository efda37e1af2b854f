"""A model with columns answers alike, asked with data/etl's columns and asked with raw ids, times and types.

etl runs on hand-made days whose items never change; the model reads every column that the graph can make.
"""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from models.core import registry
from models.core.base import SessionModel
from pipelines.columns import SCHEMA, text_hash
from pipelines.errors import DataError
from pipelines.etl import run
from pipelines.register import columns, export, sample
from pipelines.register.columns import Columns
from pipelines.stores import sessions, weights
from pipelines.stores.answers import (
    DENIED,
    EVENT_TYPES,
    EXCLUDE,
    INPUT,
    NO_ITEM,
    TIMES,
    Answers,
    Graph,
    Request,
    differences,
    fit,
    take,
)
from pipelines.stores.meanings import Meaning
from tests.pipelines.etl.conftest import etl, split
from tests.pipelines.register.test_export import SERVE, ZOO

ALL = ("category", "brand", "event_type", "price", "item_age", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos")
NUM_ITEMS, K = 30, 10
MONDAY = dt.datetime(2026, 11, 2, tzinfo=dt.UTC)


def days(folder: Path) -> None:
    """400 sessions of six days; item i always has the same category, brand and price, and some have none of them."""
    chance = np.random.default_rng(3)
    rows = []
    for number in range(400):
        begin = MONDAY + dt.timedelta(days=number * 6 / 400, seconds=int(chance.integers(3000)))
        for step in range(int(chance.integers(2, 7))):
            item = int(chance.integers(NUM_ITEMS))
            rows.append(
                {
                    "session_id": f"s{number}",
                    "user_id": "u",
                    "item_id": 7 * item - 20,
                    "event_type": "cart" if chance.random() < 0.2 else "view",
                    "timestamp": begin + dt.timedelta(seconds=97 * step),
                    "price": None if item % 7 == 0 else 1.5 * item + 1,
                    "category": None if item % 5 == 0 else f"c{item % 4}",
                    "brand": None if item % 3 == 0 else f"b{item % 6}",
                    "source_file": "a.csv",
                    "source_row": len(rows) + 1,
                }
            )
    frame = pl.DataFrame(rows, schema=SCHEMA)
    for (day,), part in frame.group_by(pl.col("timestamp").dt.date(), maintain_order=True):
        (folder / f"data/validate/day={day}").mkdir(parents=True)
        part.write_parquet(folder / f"data/validate/day={day}/events.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/etl of those days."""
    home = tmp_path_factory.mktemp("shop")
    days(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        run(etl(), split())
    return home / "data/etl"


def made(folder: Path, names: tuple[str, ...], target: Path) -> SessionModel:
    torch.manual_seed(1)
    kind = registry.find("gru4rec")
    config = kind.Config.model_validate({**ZOO["gru4rec"], "hidden_size": 16, "columns": names})
    model = kind(config, sessions.load(torch.device("cpu"), names, folder).features)
    weights.save("gru4rec", model, target, folder)
    return weights.load(target)


def served(folder: Path, names: tuple[str, ...], target: Path) -> tuple[export.Served, Request, SessionModel]:
    model = made(folder, names, target)
    meanings = weights.read_card(target).columns
    vocabulary = pl.read_parquet(folder / "vocabulary.parquet")
    data = sessions.load(torch.device("cpu"), columns.inputs_from(meanings), folder)
    items = pl.read_parquet(folder / "items.parquet") if columns.of_items(meanings) else None
    request = sample.requests(data, vocabulary, 50, meanings)
    graph = export.served(model, vocabulary, K, meanings, SERVE, items)
    return graph, fit(request, graph.widths()), model


def ask(model: export.Served, request: Request) -> Answers:
    with torch.no_grad():
        return Answers(*(part.numpy() for part in model(**{name: torch.from_numpy(value) for name, value in request.items()})))


def test_raw_ids_give_the_scores_that_the_columns_of_etl_give(folder: Path, tmp_path: Path) -> None:
    graph, request, model = served(folder, ALL, tmp_path)
    assert list(request) == [INPUT, TIMES, EVENT_TYPES, EXCLUDE, DENIED]
    data = sessions.load(torch.device("cpu"), ALL, folder)
    chosen = data.of(2, at_least=2)[-50:]
    batch = data.batch(chosen)
    indices = graph.lookup(torch.from_numpy(request[INPUT]))
    torch.testing.assert_close(indices[:, 0], batch.items[:, 0])
    made_by_graph, _ = graph.batch(indices, *(torch.from_numpy(request[name]) for name in (TIMES, EVENT_TYPES)))
    seen = torch.arange(batch.items.shape[1]) < (batch.lengths - 1)[:, None]
    for name, values in batch.columns.items():
        found = made_by_graph.columns[name][:, : seen.shape[1]]
        np.testing.assert_allclose(found.numpy(), (values * seen).numpy(), rtol=1e-5, atol=1e-5, err_msg=name)
    with torch.no_grad():
        everywhere = model.scores_everywhere(batch)
    last = (batch.lengths - 1).cumsum(0) - 1
    answers = ask(graph, request)
    np.testing.assert_allclose(answers.scores, everywhere[last].topk(K, 1).values.numpy(), rtol=1e-4, atol=1e-4)


def test_what_items_are_is_folded_into_the_file(folder: Path, tmp_path: Path) -> None:
    """A client sends ids alone, and the file answers as the model does that sums the vectors anew."""
    torch.manual_seed(1)
    data = sessions.load(torch.device("cpu"), folder=folder, of_items=("category", "brand"))
    kind = registry.find("gru4rec")
    config = kind.Config.model_validate({**ZOO["gru4rec"], "hidden_size": 16, "item_columns": ("category", "brand")})
    model = kind(config, data.features)
    model.know(data.counts(), data.item_values())
    weights.save("gru4rec", model, tmp_path, folder)
    model = weights.load(tmp_path)
    chosen = data.of(2, at_least=2)[-50:]
    batch = data.batch(chosen)
    with torch.no_grad():
        last = (batch.lengths - 1).cumsum(0) - 1
        expected = model.scores_everywhere(batch)[last].topk(K, 1).values
    vocabulary = pl.read_parquet(folder / "vocabulary.parquet")
    graph = export.served(model, vocabulary, K, {}, SERVE)
    export.export(graph, tmp_path / "model.onnx")
    answers = Graph(tmp_path / "model.onnx").ask(sample.requests(data, vocabulary, 50, {}))
    np.testing.assert_allclose(answers.scores, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_file_and_torch_agree_and_padding_changes_nothing(folder: Path, tmp_path: Path) -> None:
    model, request, _ = served(folder, ALL, tmp_path)
    export.export(model, tmp_path / "model.onnx")
    graph = Graph(tmp_path / "model.onnx")
    assert graph.inputs == (INPUT, TIMES, EVENT_TYPES, EXCLUDE, DENIED)
    asked = {name: request[name] for name in (INPUT, TIMES, EVENT_TYPES)}
    golden = sample.golden(asked, graph.ask(asked), model.popular_ids[:-1].numpy(), SERVE.max_denied)
    wrong, apart = differences(ask(model, golden), graph.ask(golden))
    assert not wrong.any()
    assert apart < 1e-4
    answers = graph.ask(golden)
    left = len(answers) - 4
    wrong, _ = differences(graph.ask(take(golden, slice(1))), graph.ask(take(golden, slice(left, left + 1))))
    assert not wrong.any()  # left-padded as right-padded
    wrong, _ = differences(graph.ask(take(golden, slice(left - 5, left - 4))), graph.ask(take(golden, slice(left + 1, left + 2))))
    assert not wrong.any()  # strangers between
    popular_without = left - 1
    assert np.flatnonzero(answers.fallback).tolist() == [popular_without, len(answers) - 2, len(answers) - 1]
    left_out, let_in, without = (set(answers.ids[row].tolist()) for row in range(left - 4, left - 1))
    seen = set(golden[INPUT][left - 4].tolist()) - {NO_ITEM}
    assert not left_out & seen
    assert let_in & seen or len(seen) < 3
    assert not without & set(answers.ids[left - 5, :3].tolist())
    assert not set(answers.ids[popular_without].tolist()) & set(answers.ids[-1, :3].tolist())


@pytest.mark.parametrize("inputs", [("timestamps",), ("event_types",), ("timestamps", "event_types")])
def test_what_an_event_brings_along_changes_the_answer(folder: Path, tmp_path: Path, inputs: tuple[str, ...]) -> None:
    model, request, _ = served(folder, ALL, tmp_path)
    other = dict(request)
    if TIMES in inputs:
        other[TIMES] = request[TIMES] + 5 * 3600 * 1_000_000
    if EVENT_TYPES in inputs:
        other[EVENT_TYPES] = np.where(request[EVENT_TYPES] == text_hash("view"), text_hash("cart"), text_hash("view"))
    assert differences(ask(model, request), ask(model, other))[0].all()


@pytest.mark.parametrize(
    ("names", "inputs"),
    [
        ((), (INPUT,)),
        (("category", "brand", "price"), (INPUT,)),
        (("hour_sin",), (INPUT, TIMES)),
        (("item_age",), (INPUT, TIMES)),
        (("event_type",), (INPUT, EVENT_TYPES)),
    ],
)
def test_the_graph_asks_for_nothing_that_the_model_does_not_read(
    folder: Path, tmp_path: Path, names: tuple[str, ...], inputs: tuple[str, ...]
) -> None:
    model, request, _ = served(folder, names, tmp_path)
    export.export(model, tmp_path / "model.onnx")
    graph = Graph(tmp_path / "model.onnx")
    assert graph.inputs == (*inputs, EXCLUDE, DENIED) == tuple(request)
    assert not differences(ask(model, request), graph.ask(request))[0].any()
    said = export.config(graph.widths, K, {})
    assert [said.count(f'"{name}" data_type') for name in graph.inputs] == [1] * len(graph.inputs)
    assert [said.count(f'key: "{name}"') for name in graph.inputs] == [2] * len(graph.inputs)  # each warm-up sends it


def test_values_worked_by_hand() -> None:
    meanings = {
        "category": Meaning(role="categorical", values=("toys", "books"), rare=("tools",)),
        "price": Meaning(role="continuous", mean=1.0, std=2.0),
        "item_age": Meaning(role="continuous", mean=0.5, std=0.25),
        "event_type": Meaning(role="categorical", values=("view",), rare=("cart",)),
        "weekday_sin": Meaning(role="continuous"),
        "hour_cos": Meaning(role="continuous"),
        "timestamp": Meaning(role="time"),
    }
    vocabulary = pl.DataFrame({"index": [1, 2, 3, 4], "first_seen": [MONDAY] * 4})
    items = pl.DataFrame(
        {"index": [1, 2, 3, 4], "category": ["books", "tools", None, "shoes"], "price": [math.e**3 - 1, None, 0.0, math.e - 1]}
    )
    noon = int(MONDAY.timestamp() + 2.5 * 86_400) * 1_000_000  # Wednesday
    types = [text_hash(text) for text in ("view", "cart", "buy")]
    found = Columns(meanings, vocabulary, items)(
        torch.tensor([[1, 2, 3, 4, 0]]), torch.tensor([[noon, noon, noon, noon, 0]]), torch.tensor([[*types, 0, 0]])
    )
    assert found["category"].tolist() == [[5, 3, 1, 2, 0]]
    assert found["event_type"].tolist() == [[4, 3, 2, 1, 0]]
    assert found["timestamp"].tolist() == [[noon] * 4 + [0]]
    expected = {
        "price": [1, 0, -0.5, 0],
        "item_age": [(math.log(3.5) - 0.5) / 0.25] * 4,
        "weekday_sin": [math.sin(4 * math.pi / 7)] * 4,
        "hour_cos": [-1] * 4,
    }
    for name, values in expected.items():
        assert found[name].flatten().tolist() == pytest.approx([*values, 0], abs=1e-5), name


def test_a_column_that_no_client_knows_is_refused() -> None:
    with pytest.raises(DataError, match="cannot make the column 'relative_price'") as failure:
        columns.inputs(["price", "relative_price"])
    assert "train without it" in failure.value.next_step


def test_the_newest_sessions_are_sent_as_they_happened(folder: Path, tmp_path: Path) -> None:
    _, request, _ = served(folder, ("event_type", "hour_sin"), tmp_path)
    rows = pl.concat(pl.read_parquet(file) for file in sorted(folder.parent.glob("validate/*/events.parquet")))
    newest = pl.read_parquet(folder / "session_ids.parquet")["session_id"][-1]
    last = rows.filter(pl.col("session_id") == newest)[:-1]
    there = request[INPUT][-1] != NO_ITEM
    assert request[INPUT][-1][there].tolist() == last["item_id"].to_list()
    assert request[TIMES][-1][there].tolist() == last["timestamp"].to_physical().to_list()
    assert request[EVENT_TYPES][-1][there].tolist() == [text_hash(text) for text in last["event_type"]]
    assert not request[TIMES][-1][~there].any()
