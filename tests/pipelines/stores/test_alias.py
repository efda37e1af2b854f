"""The alias moves by comparison: only from where it was seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import DataError, ServiceError
from pipelines.stores import registry
from tests.pipelines import registered


@pytest.fixture
def three(mlflow_store: str, tmp_path: Path) -> list[int]:
    return [registered.version(tmp_path / name, content=name).version for name in ("one", "two", "three")]


def champion() -> int | None:
    found = registry.resolve(registry.CHAMPION)
    return found.version if found else None


def test_it_moves_from_nothing_and_from_what_was_seen(three: list[int]) -> None:
    registry.swap(registry.CHAMPION, None, three[0])
    assert champion() == three[0]
    registry.swap(registry.CHAMPION, three[0], three[1])
    assert champion() == three[1]


@pytest.mark.parametrize("expected", [None, 2])
def test_it_stays_where_somebody_else_has_moved_it(three: list[int], expected: int | None) -> None:
    registry.move(registry.CHAMPION, three[0])
    with pytest.raises(DataError, match="points to version 1, not to"):
        registry.swap(registry.CHAMPION, expected, three[2])
    assert champion() == three[0]


def test_a_hand_at_the_same_moment_is_seen_afterwards(three: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    move = registry.move

    def raced(alias: str, version: int) -> None:
        move(alias, version)
        move(alias, three[2])

    registry.move(registry.CHAMPION, three[0])
    monkeypatch.setattr(registry, "move", raced)
    with pytest.raises(DataError, match="points to version 3, not to version 2"):
        registry.swap(registry.CHAMPION, three[0], three[1])


@pytest.mark.parametrize("moved", [True, False])
def test_a_move_without_an_answer_counts_if_it_is_found_done(
    three: list[int], monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    move = registry.move

    def unanswered(alias: str, version: int) -> None:
        if moved:
            move(alias, version)
        raise ServiceError("MLflow does not answer as it should", "here", "wait")

    move(registry.CHAMPION, three[0])
    monkeypatch.setattr(registry, "move", unanswered)
    if moved:
        registry.swap(registry.CHAMPION, three[0], three[1])
    else:
        with pytest.raises(ServiceError):
            registry.swap(registry.CHAMPION, three[0], three[1])
    assert champion() == three[1 if moved else 0]
