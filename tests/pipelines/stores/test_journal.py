"""What a publisher writes down before each step, read by the next one and by people."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.stores import journal
from pipelines.stores.settings import settings


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NEXTCLICK_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("NEXTCLICK_ACTOR", "ann")
    settings.cache_clear()
    yield
    settings.cache_clear()


def begin(version: int = 4, model: str = "shop") -> journal.Change:
    return journal.begin("promote", model, version, 3, 2, 5, {version: {"promoted_at": "now"}})


def test_a_person_reads_who_wanted_what_and_how_far_it_came() -> None:
    begin().step("pin")
    (path,) = journal.paths()
    found = json.loads(path.read_text())
    assert path.name == "000001-promote-4.json"
    assert [found[key] for key in ("action", "version", "champion", "previous", "by")] == ["promote", 4, 3, 2, "ann"]
    assert [one["step"] for one in found["steps"]] == ["begin", "pin"]
    assert found["outcome"] == ""


def test_one_that_did_not_end_is_unfinished_and_read_back_whole() -> None:
    made, other = begin(), begin(version=5, model="other")
    begin(version=6).end("done")
    assert journal.unfinished("shop") == [made]
    assert journal.unfinished("other") == [other]
    assert made.reached("begin")
    assert not made.reached("pin")


def test_numbers_go_on_and_old_notes_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT", 3)
    for version in range(1, 6):
        begin(version).end("done")
    assert [path.name for path in journal.paths()] == ["000003-promote-3.json", "000004-promote-4.json", "000005-promote-5.json"]


def test_a_write_that_fails_leaves_what_was_written_before(monkeypatch: pytest.MonkeyPatch) -> None:
    made = begin()
    before = journal.paths()[0].read_text()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            made.step("pin")
    assert [path.name for path in journal.folder().iterdir()] == ["000001-promote-4.json"]
    assert journal.paths()[0].read_text() == before


def test_a_note_that_a_hand_has_broken_is_named() -> None:
    begin()
    journal.paths()[0].write_text("{")
    with pytest.raises(DataError, match="cannot be read") as failure:
        journal.unfinished("shop")
    assert "000001-promote-4.json" in failure.value.where


def test_without_a_name_the_actor_is_the_user_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEXTCLICK_ACTOR")
    assert journal.actor()
    assert journal.actor() != "ann"
