from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.core.base import Features
from models.popularity import Popularity, PopularityConfig
from pipelines.errors import DataError
from pipelines.stores import weights


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = Popularity(PopularityConfig(), Features(num_items=4, max_session_length=3))
    model.counts = torch.tensor([0.0, 4, 3, 2, 1])
    weights.save("popularity", model, tmp_path)
    return tmp_path


def change_card(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, **changes}))


def test_the_same_model_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    weights.save("popularity", weights.load(saved), tmp_path / "again")
    for name in ("weights.safetensors", "model.json"):
        assert (saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no model": (lambda folder: (folder / "model.json").unlink(), "there is no trained model"),
    "card cut short": (lambda folder: (folder / "model.json").write_text('{"name"'), "model.json is broken"),
    "unknown model": (lambda folder: change_card(folder, name="popularty"), "names an unknown model 'popularty'"),
    "unknown setting": (lambda folder: change_card(folder, config={"speed": 1}), "settings do not fit"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "weights are not there"),
    "weights cut short": (lambda folder: (folder / "weights.safetensors").write_bytes(b"\x10"), "weights cannot be read"),
    "weights of other data": (
        lambda folder: change_card(folder, features={"num_items": 5, "max_session_length": 3}),
        "weights do not fit",
    ),
    "weights of another model": (
        lambda folder: save_file({"table": torch.ones(2)}, folder / "weights.safetensors"),
        "weights do not fit",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_or_disagreeing_file_is_refused_by_name(saved: Path, case: str) -> None:
    hurt, message = BROKEN[case]
    hurt(saved)
    with pytest.raises(DataError, match=message) as caught:
        weights.load(saved)
    assert str(saved) in caught.value.where


def test_what_is_counted_takes_its_size_from_the_file(saved: Path) -> None:
    assert load_file(saved / "weights.safetensors")["counts"].tolist() == [0, 4, 3, 2, 1]
    assert weights.load(saved).counts.tolist() == [0, 4, 3, 2, 1]
