"""What a reviewer's words on a version's page lead to: the truth table."""

from __future__ import annotations

import pytest

from pipelines.review.answers import Answer, Told, respond

OPEN = {"gate.verdict": "yes", "review.answer": "open"}
APPROVED = {"review": "approved", "review.answer": "approved", "review.by": "ann", "review.side": "Airflow", "review.at": "noon"}


@pytest.mark.parametrize(
    ("tags", "aliased", "wanted"),
    [
        (OPEN, False, None),
        (OPEN | {"review": "approved"}, False, Answer(True, "")),
        (OPEN | {"review": " Approved "}, False, Answer(True, "")),
        (OPEN, True, Answer(True, "")),
        (OPEN | {"review": "approved", "review.why": "better on cold items"}, False, Answer(True, "better on cold items")),
        (OPEN | {"review": "rejected", "review.why": "odd lists"}, False, Answer(False, "odd lists")),
        (OPEN | {"review": "rejected: odd lists"}, False, Answer(False, "odd lists")),
        (OPEN | {"review": "rejected", "review.why": "odd lists"}, True, Answer(False, "odd lists")),
        ({"gate.verdict": "yes"}, False, None),
        (APPROVED, False, None),
        (APPROVED, True, None),
        ({"review": "timed out", "review.answer": "timed out"}, False, None),
    ],
)
def test_what_counts(tags: dict[str, str], aliased: bool, wanted: Answer | None) -> None:
    assert respond(tags, aliased) == wanted


@pytest.mark.parametrize(
    ("tags", "aliased", "said", "review"),
    [
        (OPEN | {"review": "rejected"}, False, "a rejection needs a reason", None),
        (OPEN | {"review": "rejected", "review.why": "  "}, False, "a rejection needs a reason", None),
        (OPEN | {"review": "aproved"}, False, "'aproved' is not an answer", None),
        (APPROVED | {"review": "rejected"}, False, "too late: rejected .* approved by ann (Airflow, noon)", "approved"),
        ({"review": "approved", "review.answer": "timed out"}, False, "too late: approved .* timed out", "timed out"),
        (
            {"review": "approved", "gate.verdict": "no", "gate.refused": "coverage"},
            False,
            "not let this version pass (coverage)",
            None,
        ),
        ({"review": "approved"}, False, "the gate has not let this version pass:", None),
        ({"gate.verdict": "no"}, True, "the gate has not let this version pass:", None),
        ({"review": "approved", "gate.verdict": "yes"}, False, "no review of this version is open", None),
        ({"review": "approved", "gate.verdict": "no", "override.by": "ann"}, False, "no review of this version is open", None),
        ({"review": "rejected"}, False, "nothing to reject", None),
    ],
)
def test_what_does_not_count_is_told(tags: dict[str, str], aliased: bool, said: str, review: str | None) -> None:
    found = respond(tags, aliased)
    assert isinstance(found, Told)
    for part in said.split(" .* "):
        assert part in found.text
    assert found.review == review


def test_what_was_told_once_is_quiet_afterwards() -> None:
    """The tag is put back, and what is then on the page says nothing new."""
    for tags in (OPEN | {"review": "rejected"}, APPROVED | {"review": "rejected"}, {"gate.verdict": "no", "review": "approved"}):
        found = respond(tags, aliased=False)
        assert isinstance(found, Told)
        after = {**tags, "review": found.review or "", "review.told": found.text}
        assert respond(after, aliased=False) is None
