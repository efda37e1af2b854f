"""What a reviewer's words on the version's page in MLflow mean: tags in, the next step out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.stores.permission import OPEN

APPROVED, REJECTED, TIMED_OUT = "approved", "rejected", "timed out"
"""Values of the tag `review.answer`, which counts; OPEN while an answer is awaited."""
TAG = "review"
"""The tag by which a person answers: it is not there while an answer is awaited (MLflow's page adds tags, it does not replace
them), and holds the answer that counts afterwards."""
ALIAS = "approved"
"""Moving this alias to the version approves it too."""
WORDS = {"approved": APPROVED, "approve": APPROVED, "yes": APPROVED, "rejected": REJECTED, "reject": REJECTED, "no": REJECTED}
HOW = (
    "add the tag review with the value approved, or rejected: and the reason; or give this version the alias approved; "
    "or answer in Airflow: {url}"
)


@dataclass(frozen=True)
class Answer:
    """To be given to the run that waits."""

    approved: bool
    why: str


@dataclass(frozen=True)
class Told:
    """The answer does not count. text goes into `review.told`; review is what the tag `review` becomes, None to remove it."""

    text: str
    review: str | None


def heard(tags: Mapping[str, str], aliased: bool) -> tuple[str | None, str]:
    """What a person says by the tag `review` (and `review.why`), or by the alias: the answer, and the reason.

    The answer is None if nothing is said, and the word itself if it is none that is known.
    """
    word, _, reason = (part.strip() for part in tags.get("review", "").partition(":"))
    if not word:
        return (APPROVED if aliased else None), tags.get("review.why", "").strip()
    return WORDS.get(word.lower(), word), reason or tags.get("review.why", "").strip()


def respond(tags: Mapping[str, str], aliased: bool) -> Answer | Told | None:
    """What is to be done about what a version's page says; None: nothing."""
    state, (said, why) = tags.get("review.answer"), heard(tags, aliased)
    if said is None or said == state:
        return None
    if said not in (APPROVED, REJECTED):
        return Told(f"{said!r} is not an answer: approved, or rejected: and the reason", _kept(state))
    if state == OPEN:
        if said == REJECTED and not why:
            return Told("a rejection needs a reason: add the tag review with the value rejected: and the reason", None)
        return Answer(said == APPROVED, why)
    if state is not None:
        return Told(_late(said, tags), state)
    if said == REJECTED:
        return Told("nobody has asked about this version: there is nothing to reject", None)
    if tags.get("gate.verdict") == "yes" or "override.by" in tags:
        return Told(
            "no review of this version is open: answer when its tag review.answer says open, or use the DAG promote", None
        )
    refused = tags.get("gate.refused")
    because = f" ({refused})" if refused else ""
    return Told(f"the gate has not let this version pass{because}: nobody can approve it; see the DAG override", None)


def _kept(state: str | None) -> str | None:
    return None if state == OPEN else state


def _late(said: str, tags: Mapping[str, str]) -> str:
    by, side, at = (tags.get(f"review.{name}", "?") for name in ("by", "side", "at"))
    return f"too late: {said} does not count, the version was {tags['review.answer']} by {by} ({side}, {at})"
