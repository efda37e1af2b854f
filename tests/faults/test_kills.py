"""A publisher is killed, between every two steps and at any moment: the champion answers, the next run puts all right."""

from __future__ import annotations

import random
import shutil
import time

import pytest

from pipelines import rollback
from pipelines.stores import journal, registry, repository
from pipelines.stores.settings import settings
from tests.faults.conftest import WHOLE, Platform
from tests.faults.driver import Fault
from tests.pipelines.publishing import aliases, champion_serves, last_change, promoted

STEPS = ("begin", "stage", "place", "pin", "load", "ask", "previous", "champion", "tags", "prune", "done")
FETCHED = ("stage", "place")
"""Steps that a rollback does not need: the version lies in the repository."""
SERVED_BY_NEW = STEPS.index("ask")
MOVED = STEPS.index("tags")
MOMENTS = 100 if WHOLE else 8


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"] if WHOLE else ["after"])
def test_killed_at_a_step_of_a_promotion(platform: Platform, ready: tuple[int, int], when: str, step: str) -> None:
    champion, challenger = ready
    assert platform.publisher("promote", challenger, Fault(die=f"{when} {step}")).ended().word == "killed"
    assert platform.served() == (challenger if STEPS.index(step) >= SERVED_BY_NEW else champion)
    moved = STEPS.index(step) >= MOVED
    assert aliases()["champion"] == (challenger if moved else champion)
    promoted(challenger)
    champion_serves(challenger)
    assert aliases()["previous"] == champion
    assert "promoted_at" in registry.get(challenger).tags
    assert journal.unfinished(settings().model_name) == []


@pytest.mark.parametrize("step", [step for step in STEPS if step not in FETCHED] if WHOLE else ["previous", "tags", "done"])
def test_a_rollback_that_is_tried_again_does_not_roll_forward(
    platform: Platform, ready: tuple[int, int], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed anywhere, then run again, as Airflow does: the version before serves, whether the alias had moved or not."""
    champion, challenger = ready
    promoted(challenger)
    monkeypatch.setenv(journal.RUN, f"manual-{step}")
    assert (
        platform.publisher("rollback", "", Fault(die=f"after {step}"), **{journal.RUN: f"manual-{step}"}).ended().word == "killed"
    )
    platform.served()
    rollback.run()
    champion_serves(champion)
    assert aliases()["previous"] == challenger
    assert "rolled_back_at" in registry.get(challenger).tags
    monkeypatch.setenv(journal.RUN, "manual-another")
    rollback.run()
    champion_serves(challenger)


@pytest.mark.parametrize("step", ["load", "champion", "tags"] if WHOLE else ["tags"])
def test_a_killed_promotion_then_a_rollback(platform: Platform, ready: tuple[int, int], step: str) -> None:
    """The promotion is undone or finished first; then there is something to go back to, or there is not."""
    champion, challenger = ready
    promoted(challenger)
    assert platform.publisher("promote", champion, Fault(die=f"after {step}")).ended().word == "killed"
    rollback.run()
    expected = challenger if step == "tags" else champion
    champion_serves(expected)
    assert aliases()["previous"] == (champion if step == "tags" else challenger)


@pytest.mark.timeout(3600)
def test_killed_at_any_moment(platform: Platform, ready: tuple[int, int]) -> None:
    """What is done is drawn from a seed; the moment is what the machine makes of it."""
    promoted(ready[1])
    seconds = max(platform.publisher("promote", version).ended().seconds for version in ready)
    model, chance = settings().model_name, random.Random(11)
    found: dict[str, int] = {}
    for trial in range(MOMENTS):
        old = aliases()["champion"]
        (new,) = set(ready) - {old}
        action, pruned = chance.choice(["promote", "rollback"]), chance.random() < 0.5
        if pruned:
            shutil.rmtree(repository.home(model) / str(new), ignore_errors=True)
        publisher = platform.publisher(action, new if action == "promote" else "")
        time.sleep(chance.uniform(0, 1.1 * seconds))
        publisher.kill()
        word = publisher.ended().word
        told = last_change()
        stage = word if word == "done" or told["outcome"] else str(told["steps"][-1]["step"])  # type: ignore[index]
        found[stage] = found.get(stage, 0) + 1
        assert platform.served() in ready, f"trial {trial}: {action}"
        wanted = chance.choice([*ready, None])
        if wanted:
            promoted(wanted)
            assert aliases()["champion"] == wanted, f"trial {trial}: {action}, then promote {wanted}"
        else:
            rollback.run()
        champion_serves(aliases()["champion"] or 0)
        assert {aliases()["champion"], aliases()["previous"]} == set(ready), f"trial {trial}: {action}"
        assert journal.unfinished(model) == []
    print(f"{MOMENTS} kills within {seconds:.2f} s, the last step written: {found}")
