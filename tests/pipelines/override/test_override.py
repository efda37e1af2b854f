"""A version passes against the gate by name, with a reason, in three places; the gate's next verdict ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import stage
from pipelines.errors import DataError, ParamsError
from pipelines.override import run
from pipelines.stores import registry
from pipelines.stores.permission import allowed
from pipelines.stores.settings import settings
from tests.pipelines import registered

REASON = "the shop changes its catalogue tonight"
REFUSED = {"gate.verdict": "no", "gate.champion": "7", "gate.refused": "quality, coverage"}


@pytest.fixture
def number(mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A version that the gate refused."""
    monkeypatch.setenv("NEXTCLICK_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("NEXTCLICK_ACTOR", "ann")
    settings.cache_clear()
    yield registered.version(tmp_path / "package", REFUSED).version
    settings.cache_clear()


def test_who_when_why_and_against_what_are_kept_in_three_places(number: int) -> None:
    report = run(str(number), f"  {REASON}\n")
    found = registry.get(number)
    assert (found.tags["override.by"], found.tags["override.why"]) == ("ann", REASON)
    assert found.tags["override.rules"] == "the gate refused it, against 7: quality, coverage"
    assert found.tags["override.at"].endswith("+00:00")
    assert found.description.endswith("\n\n# A model")
    assert REASON in found.description.splitlines()[0]
    (line,) = (settings().var / "promotions" / "overrides.log").read_text().splitlines()
    assert json.loads(line) == {"model": found.model, "version": number} | {key: found.tags[key] for key in registry.OVERRIDE}
    assert REASON in report.result["summary"]


def test_it_lets_the_version_pass_and_publishes_nothing(number: int) -> None:
    with pytest.raises(DataError, match="may not be promoted"):
        allowed(registry.get(number), None)
    run(str(number), REASON)
    allowed(registry.get(number), None)
    assert registry.resolve(registry.CHAMPION) is None


def test_each_override_is_a_line_of_the_log(number: int) -> None:
    for _ in range(2):
        run(str(number), REASON)
    assert len((settings().var / "promotions" / "overrides.log").read_text().splitlines()) == 2


@pytest.mark.parametrize("reason", ["", "ok", "  short   ", "a        b"])
def test_a_word_is_no_reason(number: int, reason: str) -> None:
    with pytest.raises(ParamsError, match="is no reason"):
        run(str(number), reason)
    assert "override.by" not in registry.get(number).tags


def test_a_version_that_does_not_exist(number: int) -> None:
    with pytest.raises(DataError, match="has no version 99"):
        run("99", REASON)
    with pytest.raises(ParamsError, match="no version of the registry"):
        run(REASON, "99")


def test_a_missing_reason_is_asked_for() -> None:
    with pytest.raises(ParamsError, match="needs a word more: reason"):
        stage.arguments("override", run, ["3"])
