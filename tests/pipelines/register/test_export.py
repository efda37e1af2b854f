"""The served graph answers as the model does, whatever a client sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from models.core import registry
from models.core.base import CountingModel, Features, SessionModel
from models.core.batch import SessionBatch
from models.core.config import Config
from pipelines.errors import DataError
from pipelines.register import export
from pipelines.register.params import ServeParams
from pipelines.stores.answers import DENIED, EXCLUDE, INPUT, NO_ITEM, Answers, Graph, Request, differences, fit, take

LENGTH, NUM_ITEMS, K = 8, 40, 10
ROOT = Path(__file__).resolve().parents[3]
ZOO = yaml.safe_load((ROOT / "params.yaml").read_text())["zoo"]
SMALL: dict[str, dict[str, Any]] = {"gru4rec": {"hidden_size": 16}}


def made(name: str, walks: torch.Tensor, **changes: Any) -> SessionModel:
    """A model of the zoo with the project's settings (smaller where that saves seconds), fitted if it counts."""
    torch.manual_seed(1)
    kind = registry.find(name)
    config = kind.Config.model_validate({**ZOO[name], **SMALL.get(name, {}), **changes})
    model = kind(config, Features(num_items=NUM_ITEMS, max_session_length=LENGTH)).eval()
    if isinstance(model, CountingModel):
        model.fit(SessionBatch(walks, (walks > 0).sum(1)))
    return model


class FirstItem(SessionModel):
    """Scores tell what arrived: the item at place p of the session gets 100 - p, all others minus their index."""

    def scores(self, batch: SessionBatch) -> torch.Tensor:
        scores = -torch.arange(self.features.num_items + 1).float().expand(batch.items.shape[0], -1)
        order = (100 - torch.arange(batch.items.shape[1])).float().expand(batch.items.shape)
        scores = scores.scatter(1, batch.items, order.where(batch.items > 0, 0))
        return scores.index_fill(1, torch.tensor([0]), float("-inf"))


SERVE = ServeParams(exclude_seen=False, max_denied=4)


def echo(vocabulary: pl.DataFrame, folder: Path, num_answers: int = K, serve: ServeParams = SERVE) -> Graph:
    features = Features(num_items=len(vocabulary), max_session_length=LENGTH)
    export.export(export.served(FirstItem(Config(), features), vocabulary, num_answers, {}, serve), folder / "model.onnx")
    return Graph(folder / "model.onnx")


@pytest.fixture(scope="module")
def graph(vocabulary: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return echo(vocabulary, tmp_path_factory.mktemp("echo"))


@pytest.fixture(scope="module")
def ids(vocabulary: pl.DataFrame) -> list[int]:
    return vocabulary.sort("index")["item_id"].to_list()


def row(*values: int) -> dict[str, np.ndarray]:
    return {INPUT: np.array([values], dtype=np.int64)}


def varied(item_ids: np.ndarray, known: np.ndarray) -> Request:
    """Half of the sessions make no choice; a quarter leave out what was seen, a quarter deny two known ids and a stranger."""
    rows = np.arange(len(item_ids))
    denied = np.full((len(rows), SERVE.max_denied), NO_ITEM)
    denied[rows % 4 == 3, :3] = known[0], known[7], 10**12
    return {INPUT: item_ids, EXCLUDE: np.where(rows % 4 == 1, 1, -1)[:, None], DENIED: denied}


LAST_STATE_ONLY = [("sasrec", {"repeats": False, "positions": positions}) for positions in ("learned", "relative")]


@pytest.mark.parametrize(("name", "changes"), [*((name, {}) for name in registry.names()), *LAST_STATE_ONLY], ids=str)
def test_file_and_torch_agree(
    name: str, changes: dict[str, Any], vocabulary: pl.DataFrame, walks: torch.Tensor, tmp_path: Path
) -> None:
    """Every model, and one that scores by the last state alone; 200 sessions, batches of 64, 1 and 3."""
    served = export.served(made(name, walks, **changes), vocabulary, K, {}, SERVE)
    export.export(served, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    request = varied(served.raw_ids[walks].numpy(), served.raw_ids[1:].numpy())
    with torch.no_grad():
        expected = Answers(*(part.numpy() for part in served(**{name: torch.from_numpy(each) for name, each in request.items()})))
        direct = served.model.scores(SessionBatch(walks, (walks > 0).sum(1))).topk(K, 1).values.numpy()
    free = (request[EXCLUDE] < 1).all(1) & (request[DENIED] == NO_ITEM).all(1)
    there = np.isfinite(direct[free])
    np.testing.assert_allclose(expected.scores[free][there], direct[free][there], rtol=1e-5)
    graph = Graph(tmp_path / "model.onnx")
    for rows in (slice(None), slice(0, 1), slice(5, 8)):
        wrong, apart = differences(
            Answers(expected.ids[rows], expected.scores[rows], expected.fallback[rows]), graph.ask(take(request, rows))
        )
        assert not wrong.any()
        assert apart < 1e-4


@pytest.mark.parametrize(
    "request_ids",
    [
        lambda a, b, c: (a, b, c, -1, -1, -1, -1, -1),
        lambda a, b, c: (-1, -1, -1, -1, -1, a, b, c),
        lambda a, b, c: (-1, a, -1, -1, b, -1, c, -1),
        lambda a, b, c: (10**15, a, -(10**15), b, 3, c, -1, 2**62),
    ],
    ids=["right", "left", "in between", "unknown ids"],
)
def test_padding_and_unknown_ids_change_nothing(graph: Graph, ids: list[int], request_ids: Any) -> None:
    answers = graph.ask(row(*request_ids(ids[11], ids[4], ids[30])))
    assert answers.ids[0, :3].tolist() == [ids[11], ids[4], ids[30]]
    assert answers.scores[0, :3].tolist() == [100, 99, 98]
    assert not answers.fallback[0, 0]


def test_every_known_id_is_found_and_its_neighbours_are_not(graph: Graph, ids: list[int]) -> None:
    """Ids are 7 apart, so id + 1 is unknown: also below the smallest and above the largest."""
    for item in ids:
        answers = graph.ask(row(item, *[NO_ITEM] * 7))
        assert answers.ids[0, 0] == item
        assert answers.scores[0, 0] == 100
        for stranger in (item - 1, item + 1):
            assert graph.ask(row(stranger, *[NO_ITEM] * 7)).fallback[0, 0]


def test_a_repeated_item_keeps_its_places(graph: Graph, ids: list[int]) -> None:
    """a b a: three events arrive, b at place 1 (99)."""
    answers = graph.ask(row(ids[0], ids[1], ids[0], *[NO_ITEM] * 5))
    scores = dict(zip(answers.ids[0].tolist(), answers.scores[0].tolist(), strict=True))
    assert scores[ids[1]] == 99
    assert scores[ids[0]] in (100, 98)


def test_a_session_of_strangers_gets_the_popular_items_and_says_so(graph: Graph, ids: list[int]) -> None:
    """counts are 40, 39, ... 1 of 820 events, by index."""
    for request in ([NO_ITEM] * 8, [999_999] * 8):
        answers = graph.ask(row(*request))
        assert answers.fallback[0, 0]
        assert answers.ids[0].tolist() == ids[:K]
        assert answers.scores[0, 0] == pytest.approx(40 / 820)


def test_the_fallback_of_one_session_is_not_that_of_its_neighbour(graph: Graph, ids: list[int]) -> None:
    answers = graph.ask({INPUT: np.concatenate([row(*[NO_ITEM] * 8)[INPUT], row(ids[5], *[NO_ITEM] * 7)[INPUT]])})
    assert answers.fallback[:, 0].tolist() == [True, False]
    assert answers.ids[1, 0] == ids[5]


def asked(graph: Graph, session: list[int], exclude: int | None = None, denied: tuple[int, ...] = ()) -> list[int]:
    """The ids of the answer, places without an item left out."""
    choices: dict[str, Any] = {EXCLUDE: np.array([[exclude]])} if exclude is not None else {}
    if denied:
        choices[DENIED] = np.array([[*denied, *[NO_ITEM] * (SERVE.max_denied - len(denied))]])
    ids = graph.ask({**row(*session, *[NO_ITEM] * (LENGTH - len(session))), **choices}).ids[0]
    assert (ids[(ids != NO_ITEM).sum() :] == NO_ITEM).all()
    return ids[ids != NO_ITEM].tolist()  # type: ignore[no-any-return]


def test_items_of_the_session_are_left_out_where_a_request_says_so(graph: Graph, ids: list[int]) -> None:
    """Items score 100, 99, 98 by their place in the session, all others less than 0, the lower the index the better."""
    session = [ids[11], 10**15, ids[4], ids[11], ids[30]]
    others = [one for number, one in enumerate(ids) if number not in (4, 11, 30)]
    assert set(asked(graph, session, exclude=0)[:3]) == {ids[11], ids[4], ids[30]}
    assert asked(graph, session, exclude=1) == others[:K]


def test_what_a_request_leaves_open_is_as_the_setting_has_it(vocabulary: pl.DataFrame, tmp_path: Path, ids: list[int]) -> None:
    strict = echo(vocabulary, tmp_path, serve=ServeParams(exclude_seen=True, max_denied=4))
    for exclude, best in ((None, ids[0]), (-1, ids[0]), (1, ids[0]), (0, ids[11])):
        assert asked(strict, [ids[11]], exclude)[0] == best


def test_denied_items_are_not_answered_and_the_next_best_move_up(graph: Graph, ids: list[int]) -> None:
    free = asked(graph, [ids[20]])
    assert free == [ids[20], *ids[: K - 1]]
    assert asked(graph, [ids[20]], denied=(ids[0], ids[20], 10**15, ids[2])) == [ids[1], *ids[3 : K + 2]]


def test_denied_items_are_no_fallback_either(graph: Graph, ids: list[int]) -> None:
    """The popular items are ids[0], ids[1], ...; of an unknown session nothing known was seen."""
    assert asked(graph, [10**15], exclude=1, denied=(ids[0], ids[3])) == [ids[1], ids[2], *ids[4 : K + 2]]


def test_the_choices_of_one_session_are_not_those_of_its_neighbour(graph: Graph, ids: list[int]) -> None:
    both = {INPUT: np.array([[ids[11], *[NO_ITEM] * 7]] * 2), EXCLUDE: np.array([[1], [0]]), DENIED: np.full((2, 4), NO_ITEM)}
    both[DENIED][1, 0] = ids[0]
    answers = graph.ask(both)
    assert answers.ids[:, :2].tolist() == [[ids[0], ids[1]], [ids[11], ids[1]]]


def test_what_is_denied_and_seen_may_be_all_there_is(vocabulary: pl.DataFrame, tmp_path: Path, ids: list[int]) -> None:
    few = echo(vocabulary.sort("index").head(3), tmp_path)
    assert asked(few, [ids[0]], exclude=1, denied=(ids[1],)) == [ids[2]]
    assert asked(few, [ids[0]], exclude=1, denied=(ids[1], ids[2])) == []
    assert asked(few, [], denied=(ids[0], ids[1], ids[2])) == []


def test_a_version_made_before_choices_came_is_asked_without_them() -> None:
    old = {INPUT: 3}
    request = {INPUT: np.array([[1, 2, NO_ITEM]]), EXCLUDE: np.array([[-1]]), DENIED: np.array([[NO_ITEM]])}
    assert list(fit(request, old)) == [INPUT]
    for choice in ({EXCLUDE: np.array([[1]])}, {DENIED: np.array([[5]])}):
        with pytest.raises(DataError, match="has no input"):
            fit({**request, **choice}, old)


def test_fewer_items_than_answers(vocabulary: pl.DataFrame, tmp_path: Path) -> None:
    few = vocabulary.sort("index").head(3)
    answers = echo(few, tmp_path).ask(row(int(few["item_id"][1]), *[NO_ITEM] * 7))
    assert answers.ids[0].tolist() == [few["item_id"][1], few["item_id"][0], few["item_id"][2], *[NO_ITEM] * 7]
    assert np.isneginf(answers.scores[0, 3:]).all()


def test_a_vocabulary_of_one_item(vocabulary: pl.DataFrame, tmp_path: Path) -> None:
    one = vocabulary.sort("index").head(1)
    answers = echo(one, tmp_path).ask(row(5, int(one["item_id"][0]), *[NO_ITEM] * 6))
    assert answers.ids[0, 0] == one["item_id"][0]
    assert not answers.fallback[0, 0]


def test_a_vocabulary_of_another_training_is_refused(vocabulary: pl.DataFrame, walks: torch.Tensor) -> None:
    with pytest.raises(DataError, match="knows 40 items, the vocabulary has 39"):
        export.served(made("popularity", walks), vocabulary.head(39), K, {}, SERVE)


def test_the_padding_id_is_no_item(vocabulary: pl.DataFrame, walks: torch.Tensor) -> None:
    bad = vocabulary.with_columns(pl.when(pl.col("index") == 3).then(NO_ITEM).otherwise("item_id").alias("item_id"))
    with pytest.raises(DataError, match="an item has the id -1"):
        export.served(made("popularity", walks), bad, K, {}, SERVE)
