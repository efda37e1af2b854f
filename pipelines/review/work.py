"""The action itself: open the question on the version's page, write the answer down."""

from __future__ import annotations

import json
import os
from typing import Any

from pipelines.errors import DataError, ParamsError, nearest
from pipelines.review.answers import ALIAS, APPROVED, HOW, REJECTED, TAG, TIMED_OUT, heard
from pipelines.review.params import ReviewParams
from pipelines.stage import Report
from pipelines.stores import journal, permission, registry, wanted
from pipelines.stores.registry import Version
from pipelines.stores.settings import settings

WATCH = "mlflow"
"""Airflow's user as which `infra.watch` carries answers over from MLflow."""
DECISION, CARD = "# Decision\n", "\n---\n"


def work(review: ReviewParams, step: str, version: str) -> Report:
    """See the package's docstring."""
    if step == "open":
        return open_review(registry.get(wanted.number(version, f"review {step}")), review)
    if step == "close":
        return close_review(registry.get(wanted.number(version, f"review {step}")))
    raise ParamsError(f"review has no step {step!r}", "python -m pipelines review", nearest(step, ("open", "close")))


def open_review(version: Version, review: ReviewParams) -> Report:
    """Nobody is asked about a version that could not be promoted: DataError. What an earlier review left is cleared."""
    permission.passed(version, registry.resolve(registry.CHAMPION))
    registry.tag(
        version.version, {"review.answer": permission.OPEN}
    )  # first: without it a rejected version would be free for a moment
    left = [key for key in version.tags if key == TAG or (key.startswith(f"{TAG}.") and key != "review.answer")]
    registry.untag(version.version, left)
    pointed = registry.resolve(ALIAS)
    if pointed is not None and pointed.version == version.version:
        registry.drop(ALIAS)
    run, page = asking()
    asked = {
        "review.asked_at": journal.now(),
        "review.run": run,
        "review.how": HOW.format(url=page or "no run asks, the review was opened by hand"),
    }
    registry.tag(version.version, {key: value for key, value in asked.items() if value})
    name = version.tags.get("model", "model")
    return Report(
        wrote={"open reviews": 1},
        notes=[f"version {version.version} awaits an answer: {version.url}"],
        result={
            "version": version.version,
            "subject": f"{version.model} version {version.version} ({name})",
            "summary": f"version {version.version} awaits an answer, in Airflow or in MLflow, for {review.hours:g} hours",
            "table": body(version),
            "links": {"MLflow version": version.url},
        },
    )


def asking() -> tuple[str, str]:
    """DAG and run of Airflow that ask, and the page where they do; empty where no run does."""
    dag, run = os.environ.get("AIRFLOW_CTX_DAG_ID", ""), os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", "")
    if not dag or not run:
        return "", ""
    return f"{dag}/{run}", f"{settings().airflow_url}/dags/{dag}/runs/{run}/tasks/review/required_actions"


def body(version: Version) -> str:
    """What a reviewer reads: the gate's decision, as it stands on the version's page, and the way there."""
    decision = version.description.partition(DECISION)[2].partition(CARD)[0].strip() or "The gate has not judged this version."
    override = version.tags.get("override.by")
    warned = f"**Overridden by {override}**: {version.tags.get('override.why', '')}\n\n" if override else ""
    return f"{warned}{decision}\n\n[The version in MLflow]({version.url})"


def close_review(version: Version) -> Report:
    """The answer that Airflow kept is the one that counts. DataError for a rejection without a reason."""
    run, _ = asking()
    if run and version.tags.get("review.run") != run:
        who = version.tags.get("review.run", "nobody")
        next_step = "answer there; this run ends here"
        raise DataError(f"another run asks about version {version.version} by now: {who}", version.url, next_step)
    given = answer(version)
    outcome = given["review.answer"]
    if outcome == REJECTED and not given["review.why"]:
        raise DataError("a rejection needs a reason", version.url, "answer again, with the reason")
    said, _ = heard(version.tags, aliased=False)
    told = {}
    if said not in (None, outcome):
        told["review.told"] = f"too late: {said} does not count, the version was {outcome} by {given['review.by']}"
    registry.tag(version.version, {TAG: outcome, **{key: value for key, value in given.items() if value}, **told})
    registry.untag(version.version, [key for key in ("review.how", "review.told") if key in version.tags and key not in told])
    line = f"version {version.version} {outcome} by {given['review.by']} ({given['review.side']})"
    why = f": {given['review.why']}" if given["review.why"] else ""
    stays = "" if outcome == APPROVED else "; the champion stays"
    return Report(
        wrote={"answers": 1},
        notes=[f"{line}{why}{stays}"],
        result={
            "version": version.version,
            "answer": outcome,
            "summary": f"{line}{why}{stays}",
            "links": {"MLflow version": version.url},
        },
        refused=outcome != APPROVED,
    )


def answer(version: Version) -> dict[str, str]:
    """Who, when, why, on which side; from what Airflow's approval gave."""
    given: dict[str, Any] = json.loads(os.environ.get("ANSWER") or "null") or {}
    if not given.get("chosen_options"):
        raise DataError(
            "there is no answer to write down", "environment: ANSWER", "run review close with what Airflow's approval gave"
        )
    who = (given.get("responded_by_user") or {}).get("name")
    why = str((given.get("params_input") or {}).get("why") or "").strip()
    at = str(given.get("responded_at") or journal.now())
    if given.get("timed_out"):
        return _answer(TIMED_OUT, "nobody", at, "nobody answered in time", "Airflow")
    outcome = APPROVED if given["chosen_options"] == ["Approve"] else REJECTED
    if who == WATCH:
        return _answer(outcome, version.tags.get("review.by", "somebody who can write in MLflow"), at, why, "MLflow")
    return _answer(outcome, who or "auto", at, why, "Airflow" if who and who != "auto" else "gate.review: auto")


def _answer(outcome: str, by: str, at: str, why: str, side: str) -> dict[str, str]:
    return {"review.answer": outcome, "review.by": by, "review.at": at, "review.why": why, "review.side": side}
