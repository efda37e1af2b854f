"""Answers given in MLflow, carried to the run of Airflow that waits; what does not count is told on the version's page."""

from __future__ import annotations

import time
from collections.abc import Iterable

from infra.local.airflow_api import Airflow
from pipelines.review.answers import ALIAS, OPEN, TAG, Answer, Told, respond
from pipelines.stores import registry
from pipelines.stores.registry import Version

TASK = "review"
PARKED = "awaiting_input"
SETTLED_S = 3.0
"""An approval that parked less than this ago is not answered yet: Airflow's scheduler, which has not seen it park, would take
its waking up for a crash."""


class Reviews:
    """The versions' pages, gone through again and again."""

    def __init__(self, airflow: Airflow) -> None:
        self.airflow = airflow
        self.parked: dict[tuple[str, str], float] = {}
        """(run, when its approval was last queued) -> when it was first seen to wait."""

    def look(self, versions: Iterable[Version]) -> list[str]:
        """Once; returns what was done, one line each."""
        pointed = registry.resolve(ALIAS)
        done = []
        for version in versions:
            settled = version.tags.get("review.answer") == OPEN and self.settled(version.tags.get("review.run", ""))
            found = respond(version.tags, pointed is not None and pointed.version == version.version)
            if isinstance(found, Answer) and not version.tags.get("review.run"):
                done += tell(version, Told("no run waits for this answer: the review was opened by hand", None))
            elif isinstance(found, Answer) and settled:
                done += self.carry(version, found)
            elif isinstance(found, Told):
                done += tell(version, found)
        return done

    def settled(self, asking: str) -> bool:
        """Whether the approval of this run ("dag/run") waits, and has done so for a while."""
        dag, _, run = asking.partition("/")
        task = self.airflow.task(dag, run, TASK) if run else None
        if task is None or task["state"] != PARKED:
            return False
        key = (asking, str(task.get("queued_when")))
        if key not in self.parked:
            self.parked = {other: since for other, since in self.parked.items() if other[0] != asking} | {key: time.monotonic()}
        return time.monotonic() - self.parked[key] >= SETTLED_S

    def carry(self, version: Version, found: Answer) -> list[str]:
        """The answer becomes that of the approval that waits. If somebody was faster in Airflow, `review close` says so."""
        dag, _, run = version.tags["review.run"].partition("/")
        option = "Approve" if found.approved else "Reject"
        if self.airflow.answer(dag, run, TASK, option, {"why": found.why or None}):
            return [f"version {version.version}: {option} was carried from MLflow to {dag} {run}"]
        return []


def tell(version: Version, found: Told) -> list[str]:
    """Said once: the tag `review` is put back, so that the page does not show an answer that does not count."""
    if found.review is None:
        registry.untag(version.version, [TAG] if TAG in version.tags else [])
    elif version.tags.get(TAG) != found.review:
        registry.tag(version.version, {TAG: found.review})
    if version.tags.get("review.told") == found.text:
        return []
    registry.tag(version.version, {"review.told": found.text})
    return [f"version {version.version}: told {found.text!r}"]
