"""Who may become champion: a version's tags say what gate, reviewer and override have said of it."""

from __future__ import annotations

from pipelines.errors import DataError
from pipelines.stores import registry
from pipelines.stores.registry import Version

OPEN = "open"
BARRED = {
    OPEN: "its review is not answered yet",
    "rejected": "its reviewer rejected it",
    "timed out": "nobody reviewed it in time",
}
"""review.answer -> why the version stays away; an override is about the gate's rules and does not lift it."""


def allowed(version: Version, champion: Version | None) -> None:
    """DataError if a review was opened and did not end in an approval, or if the gate has not let it pass (`passed`)."""
    if why := BARRED.get(version.tags.get("review.answer", "")):
        _refuse(version, why, "answer the review in Airflow or on the version's page in MLflow, or start a new run")
    passed(version, champion)


def passed(version: Version, champion: Version | None) -> None:
    """DataError unless the gate said yes against the champion of this moment, or the version has been champion, or is overridden.

    gate.champion, the version that the challenger was judged against ("none": no champion yet), is written by the gate. A
    yes without it is of an older gate, and says nothing about the champion of today.
    """
    tags, now = version.tags, str(champion.version) if champion else "none"
    if "promoted_at" in tags or registry.OVERRIDE[0] in tags:
        return
    override = f'or let it pass by name: python -m pipelines override {version.version} "REASON"'
    if (verdict := tags.get("gate.verdict")) != "yes":
        why = f"gate.verdict is {verdict!r}" if verdict else "the gate has not judged it"
        _refuse(version, why, f"promote a version that the gate let pass, {override}")
    if (judged := tags.get("gate.champion")) != now:
        against = {None: "an unknown champion", "none": "no champion"}.get(judged, f"version {judged}")
        why = f"it was judged against {against}, the champion is {f'version {now}' if champion else 'none'}"
        _refuse(version, why, f"start a new run, which judges against the champion of today, {override}")


def _refuse(version: Version, why: str, next_step: str) -> None:
    raise DataError(f"version {version.version} may not be promoted: {why}", version.url, next_step)
