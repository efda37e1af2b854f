"""Answers given in MLflow, carried to the run of Airflow that waits; what does not count is told on the version's page."""

from __future__ import annotations

from collections.abc import Iterable

from infra.local.airflow_api import Airflow
from pipelines.review.answers import ALIAS, TAG, Answer, Told, respond
from pipelines.stores import registry
from pipelines.stores.registry import Version

TASK = "review"
PARKED = "awaiting_input"


def look(versions: Iterable[Version], airflow: Airflow) -> list[str]:
    """Go through the versions' pages once; returns what was done, one line each."""
    pointed = registry.resolve(ALIAS)
    done = []
    for version in versions:
        aliased = pointed is not None and pointed.version == version.version
        found = respond(version.tags, aliased)
        if isinstance(found, Answer):
            done += carry(version, found, airflow)
        elif isinstance(found, Told):
            done += tell(version, found)
    return done


def carry(version: Version, found: Answer, airflow: Airflow) -> list[str]:
    """The answer becomes that of the approval that waits in Airflow. If somebody was faster there, `review close` says so.

    A task that is not parked yet is left for the next look: Airflow would keep the answer and not wake the task.
    """
    dag, _, run = version.tags.get("review.run", "").partition("/")
    if not run:
        return tell(version, Told("no run waits for this answer: the review was opened by hand", None))
    if airflow.task_state(dag, run, TASK) != PARKED:
        return []
    option = "Approve" if found.approved else "Reject"
    if airflow.answer(dag, run, TASK, option, {"why": found.why or None}):
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
