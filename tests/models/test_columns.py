"""What every model promises, kept by those that read columns beside the item: each is tested by being there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from models.core import registry
from models.core.base import Features, SessionModel
from models.core.batch import SessionBatch
from models.core.inputs import InputConfig
from pipelines.stores import weights
from tests.models.conftest import LONGEST, NUM_ITEMS, TRAINING, ZOO, sessions
from tests.pipelines.conftest import add_column, write_etl

COLUMNS = ("category", "price", "brand", "hour_sin")
READERS = [name for name in registry.names() if issubclass(registry.find(name).Config, InputConfig)]
VARIANTS: dict[str, dict[str, Any]] = {
    "concat": {"merge": "concat", "numbers": "soft_one_hot", "column_size": None},
    "concat linear": {"merge": "concat", "numbers": "linear", "column_size": 5},
    "add": {"merge": "add", "numbers": "soft_one_hot", "column_size": None},
    "multiply": {"merge": "multiply", "numbers": "linear", "column_size": None},
}
CASES = [(name, "concat") for name in READERS] + [("gru4rec", variant) for variant in VARIANTS if variant != "concat"]
PREFIXES = [[1, 2], [2, 3, 4, 5], [6], [9, 9, 1, 2, 9, 9]]


def with_columns(*rows: Sequence[int], pad_to: int = 0) -> SessionBatch:
    """Sessions whose columns follow from the item and its place: indices 1..6 and numbers around 0."""
    plain = sessions(*rows, pad_to=pad_to)
    happened = plain.mask()
    place_L = torch.arange(plain.items.shape[1])
    numbers = {"price": (plain.items - 5) / 3, "hour_sin": torch.sin(place_L + plain.items.float())}
    indices = {"category": plain.items % 4 + 1, "brand": (plain.items + place_L) % 6 + 1}
    columns = {name: values.float() * happened for name, values in numbers.items()}
    columns |= {name: (values * happened).int() for name, values in indices.items()}
    return SessionBatch(plain.items, plain.lengths, columns)


def made(name: str, variant: str, seed: int = 1) -> SessionModel:
    torch.manual_seed(seed)
    kind = registry.find(name)
    config = kind.Config.model_validate({**ZOO[name], "hidden_size": 32, "columns": COLUMNS, **VARIANTS[variant]})
    features = Features(num_items=NUM_ITEMS, max_session_length=LONGEST, cardinalities={"category": 5, "brand": 7})
    model = kind(config, features)
    model.know(torch.bincount(with_columns(*TRAINING).items.flatten(), minlength=NUM_ITEMS + 1))
    return model


def trained(name: str, variant: str, rows: Sequence[Sequence[int]] = TRAINING, steps: int = 5) -> SessionModel:
    model = made(name, variant)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.004)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(with_columns(*rows)).backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(params=CASES, ids=lambda case: " ".join(case))
def model(request: pytest.FixtureRequest) -> SessionModel:
    return trained(*request.param)


def test_padding_changes_nothing_and_company_neither(model: SessionModel) -> None:
    together = model.scores(with_columns(*PREFIXES))
    assert torch.isfinite(together[:, 1:]).all()
    assert (together[:, 0] == float("-inf")).all()
    for row, prefix in enumerate(PREFIXES):
        for pad_to in (0, 6):
            torch.testing.assert_close(model.scores(with_columns(prefix, pad_to=pad_to))[0], together[row])


def test_scores_everywhere_are_the_scores_of_the_prefixes(model: SessionModel) -> None:
    whole = with_columns([1, 2, 3], [4], [9, 9, 1, 2, 9, 9])
    prefixes = with_columns([1], [1, 2], [9], [9, 9], [9, 9, 1], [9, 9, 1, 2], [9, 9, 1, 2, 9])
    torch.testing.assert_close(model.scores_everywhere(whole), model.scores(prefixes))


@pytest.mark.parametrize("column", COLUMNS)
def test_each_column_is_read(model: SessionModel, column: str) -> None:
    batch = with_columns(*PREFIXES)
    other = {**batch.columns, column: batch.columns[column].flip(0) * batch.mask()}
    changed = model.scores(SessionBatch(batch.items, batch.lengths, other))
    assert not torch.allclose(changed[:, 1:], model.scores(batch)[:, 1:], atol=1e-6)


def test_a_saved_model_scores_the_same(request: pytest.FixtureRequest, model: SessionModel, tmp_path: Path) -> None:
    write_etl(([[1, 2]], [[1, 2]], [[2, 1]]), NUM_ITEMS, tmp_path)
    add_column(tmp_path, "category", [4] * 6, ["a"])
    add_column(tmp_path, "brand", [4] * 6, ["a", "b", "c"])
    for name in ("price", "hour_sin"):
        add_column(tmp_path, name, [0] * 6)
    name = request.node.callspec.params["model"][0]
    weights.save(name, model, tmp_path / "saved", tmp_path)
    batch = with_columns(*PREFIXES)
    torch.testing.assert_close(weights.load(tmp_path / "saved").scores(batch), model.scores(batch), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_every_weight_of_the_columns_learns(name: str, variant: str) -> None:
    model = made(name, variant)
    model.loss(with_columns(*TRAINING)).backward()
    silent = [key for key, value in model.inputs.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert not silent


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_two_sessions_are_told_apart_by_a_column_alone(name: str, variant: str) -> None:
    """1, then 2 or 3: what the category of the first event was says which."""
    batch = with_columns([1, 2], [1, 3])
    batch.columns["category"][:, 0] = torch.tensor([1, 4], dtype=torch.int32)
    model = made(name, variant)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
    first = SessionBatch(batch.items[:, :1], torch.ones(2, dtype=torch.int64), {k: v[:, :1] for k, v in batch.columns.items()})
    assert model.eval().scores(first).argmax(1).tolist() == [2, 3]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch about itself
def test_scores_become_one_onnx_graph(model: SessionModel, tmp_path: Path) -> None:
    import onnxruntime

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, items: torch.Tensor, lengths: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
            return self.model.scores(SessionBatch(items, lengths, dict(zip(COLUMNS, values, strict=True))))

    example = with_columns(*PREFIXES)
    tensors = (example.items, example.lengths, *(example.columns[name] for name in COLUMNS))
    names = ["items", "lengths", *COLUMNS]
    torch.onnx.export(
        Scores(),
        tensors,
        tmp_path / "model.onnx",
        dynamo=True,
        opset_version=18,
        verbose=False,
        input_names=names,
        dynamic_shapes=({0: "batch"}, {0: "batch"}, tuple({0: "batch"} for _ in COLUMNS)),
    )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for rows in (1, 3, 4):
        feed = {name: tensor[:rows].numpy() for name, tensor in zip(names, tensors, strict=True)}
        (found,) = session.run(None, feed)
        torch.testing.assert_close(torch.from_numpy(found), model.scores(example)[:rows], rtol=0, atol=1e-4)
