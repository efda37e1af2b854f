"""Which tags of a version let it become champion."""

from __future__ import annotations

import pytest

from pipelines.errors import DataError
from pipelines.stores.permission import allowed
from pipelines.stores.registry import Version

YES = {"gate.verdict": "yes", "gate.champion": "3"}
OVERRIDDEN = {"override.by": "ann", "override.why": "the shop closes tomorrow"}


def version(number: int, tags: dict[str, str]) -> Version:
    return Version("shop", number, "run", "source", "", tags)


CHAMPION = version(3, {})


@pytest.mark.parametrize(
    "tags",
    [
        YES,
        {**YES, "review.answer": "approved"},
        {"promoted_at": "2026-11-20", "gate.verdict": "no"},
        {"gate.verdict": "no", "gate.champion": "3", **OVERRIDDEN},
        {"gate.verdict": "yes", "gate.champion": "2", **OVERRIDDEN},
        OVERRIDDEN,
    ],
    ids=["yes", "approved", "was champion", "overridden", "stale and overridden", "never judged, overridden"],
)
def test_a_version_that_may(tags: dict[str, str]) -> None:
    allowed(version(4, tags), CHAMPION)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({}, "the gate has not judged it"),
        ({"gate.verdict": "no", "gate.champion": "3"}, "gate.verdict is 'no'"),
        ({**YES, "gate.champion": "2"}, "it was judged against version 2, the champion is version 3"),
        ({**YES, "gate.champion": "none"}, "it was judged against no champion, the champion is version 3"),
        ({"gate.verdict": "yes"}, "it was judged against an unknown champion"),
    ],
)
def test_a_version_that_needs_an_override(tags: dict[str, str], said: str) -> None:
    with pytest.raises(DataError, match=said) as failure:
        allowed(version(4, tags), CHAMPION)
    assert 'python -m pipelines override 4 "REASON"' in failure.value.next_step


@pytest.mark.parametrize("answer", ["open", "rejected", "timed out"])
@pytest.mark.parametrize("tags", [YES, OVERRIDDEN, {"promoted_at": "2026-11-20"}], ids=["yes", "overridden", "was champion"])
def test_a_review_that_was_not_approved_keeps_it_away_whatever_else_is_said(tags: dict[str, str], answer: str) -> None:
    with pytest.raises(DataError, match="review"):
        allowed(version(4, {**tags, "review.answer": answer}), CHAMPION)


def test_the_first_champion_was_judged_against_none() -> None:
    allowed(version(1, {"gate.verdict": "yes", "gate.champion": "none"}), None)
    with pytest.raises(DataError, match="judged against version 3, the champion is none"):
        allowed(version(4, YES), None)
