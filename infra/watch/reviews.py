"""Answers given in MLflow, carried to the run of Airflow that waits; what does not count is told on the version's page."""

from __future__ import annotations

import time
from collections.abc import Iterable

from infra.local.airflow_api import FINISHED, Airflow
from pipelines.errors import PipelineError
from pipelines.review.answers import ALIAS, TAG, Answer, Told, respond
from pipelines.stores import registry
from pipelines.stores.permission import OPEN
from pipelines.stores.registry import Version

TASK = "review"
PARKED = "awaiting_input"
NOBODY, COMES, WAITS = "nobody waits", "it comes", "it waits"
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
        """Once; returns what was done, one line each. What fails for one version is raised when all have been looked at."""
        pointed = registry.resolve(ALIAS)
        done, failed = list[str](), list[PipelineError]()
        for version in versions:
            try:
                done += self.one(version, pointed is not None and pointed.version == version.version)
            except PipelineError as error:
                failed.append(error)
        for line in done if failed else []:
            print(line, flush=True)
        if failed:
            raise failed[0]
        return done

    def one(self, version: Version, aliased: bool) -> list[str]:
        asking = version.tags.get("review.run", "")
        state = self.state(asking) if version.tags.get("review.answer") == OPEN and asking else NOBODY
        found = respond(version.tags, aliased)
        if isinstance(found, Told):
            return tell(version, found)
        if not isinstance(found, Answer):
            return []
        if state == NOBODY:
            return tell(version, Told("no run waits for this answer: the DAG promote asks (again)", None))
        return self.carry(version, found) if state == WAITS else []

    def state(self, asking: str) -> str:
        """Of the approval of this run ("dag/run"): whether it waits, and has done so for a while."""
        dag, _, run = asking.partition("/")
        task = self.airflow.task(dag, run, TASK)
        if task is None or task["state"] in FINISHED - {"success"}:  # after a success `review close` writes it down
            return NOBODY
        if task["state"] != PARKED:
            return COMES
        key = (asking, str(task.get("queued_when")))
        if key not in self.parked:
            self.parked = {other: since for other, since in self.parked.items() if other[0] != asking} | {key: time.monotonic()}
        return WAITS if time.monotonic() - self.parked[key] >= SETTLED_S else COMES

    def carry(self, version: Version, found: Answer) -> list[str]:
        """The answer becomes that of the approval that waits. If somebody was faster in Airflow, `review close` says so."""
        dag, _, run = version.tags["review.run"].partition("/")
        option = "Approve" if found.approved else "Reject"
        if self.airflow.answer(dag, run, TASK, option, {"why": found.why or None}):
            return [f"version {version.version}: {option} was carried from MLflow to {dag} {run}"]
        return []


def tell(version: Version, found: Told) -> list[str]:
    """Said once: the tag `review` is put back, so that the page does not show an answer that does not count.

    Looked at again right before: somebody may have answered, or asked, since.
    """
    now = registry.get(version.version).tags
    if any(now.get(key) != version.tags.get(key) for key in (TAG, "review.answer", "review.run")):
        return []
    if found.review is None:
        registry.untag(version.version, [TAG] if TAG in version.tags else [])
    elif version.tags.get(TAG) != found.review:
        registry.tag(version.version, {TAG: found.review})
    if version.tags.get("review.told") == found.text:
        return []
    registry.tag(version.version, {"review.told": found.text})
    return [f"version {version.version}: told {found.text!r}"]
