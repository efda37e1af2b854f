"""The decision as a person reads it, and as a program does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipelines.gate.changes import Changes
from pipelines.gate.evidence import CHAMPION, Comparison, Evidence, Slice, Verdict

COLUMNS = ("mrr_at_20", "recall_at_20", "ndcg_at_20", "coverage_at_20", "gini_at_20", "mean_popularity_at_20")
WORST = 5
"""Slices that the tables show."""
HEAD, CARD = "# Decision\n\n", "\n\n---\n\n"
"""Before the decision on the version's page, and between it and the card."""
LONGEST = 4700
"""Characters of a description: MLflow's databases end at 5000, and an override adds a line."""
LISTED = 12
"""Changes of each kind that decision.md shows; decision.json has all."""


def summary(evidence: Evidence, verdicts: Mapping[str, Verdict], version: int) -> str:
    """One line."""
    refused = [name for name, verdict in verdicts.items() if not verdict.passed]
    against = f"against version {evidence.champion}" if evidence.champion is not None else "no champion yet"
    head = f"version {version} ({evidence.challenger}), {against}:"
    if refused:
        return f"{head} no, because of {', '.join(refused)}"
    return f"{head} yes, all {len(verdicts)} rules pass"


def table(evidence: Evidence, verdicts: Mapping[str, Verdict]) -> str:
    """Markdown: rules (those that refuse first), models, worst slices; the review page and decision.md show it."""
    ordered = sorted(verdicts.items(), key=lambda row: row[1].passed)
    rows = [f"| {name} | {'yes' if verdict.passed else '**no**'} | {verdict.reason} |" for name, verdict in ordered]
    rules = ["| rule | verdict | reason |", "|---|---|---|", *rows]
    models = [f"| model | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, measured in sorted(evidence.metrics.items(), key=lambda row: -row[1].get("mrr_at_20", 0)):
        shown = {evidence.challenger: f"**{name}** (challenger)", CHAMPION: f"champion (version {evidence.champion})"}.get(
            name, name
        )
        models.append(f"| {shown} | {' | '.join(_number(measured.get(column)) for column in COLUMNS)} |")
    return "\n".join([*rules, "", *models, *_slices(worst(evidence))])


def worst(evidence: Evidence) -> list[Slice]:
    """Slices that were judged, the one that loses most first."""
    if not isinstance(evidence.comparison, Comparison):
        return []
    judged = [one for one in evidence.comparison.slices if one.difference]
    return sorted(judged, key=lambda one: one.difference.share if one.difference else 0.0)[:WORST]


def _slices(worst: list[Slice]) -> Iterator[str]:
    if worst:
        yield from ("", "| worst slices, MRR@20 | to champion | interval | sessions |", "|---|---|---|---|")
    for one in worst:
        found = one.difference
        assert found
        interval = f"{found.lower:+.1%} to {found.upper:+.1%}"
        yield f"| {one}: {found.challenger:.4f} | {found.share:+.1%} | {interval} | {one.sessions:,} |"


def told(changes: Changes | None, champion: int | None) -> str:
    """Markdown: what is new since the champion."""
    if changes is None:
        return "No champion yet: nothing to compare settings and data with."
    if changes.why:
        return f"What changed since version {champion} is not known: {changes.why}."
    parts = []
    for kind, found in (("Settings", changes.params), ("Data", changes.data)):
        lines = [f"- `{name}`: {_value(before)} → {_value(now)}" for name, (before, now) in list(found.items())[:LISTED]]
        more = f"\n- and {len(found) - LISTED} more, see decision.json" if len(found) > LISTED else ""
        listed = "\n".join(lines or ["- no change"])
        parts.append(f"{kind} since version {champion}:\n\n{listed}{more}")
    return "\n\n".join(parts)


def markdown(line: str, body: str, changed: str, picture: str | None, url: str) -> str:
    drawn = f"\n![The difference to the champion, whole and by slice]({picture})\n" if picture else ""
    return f"# Decision\n\n{line}\n\n{body}\n{drawn}\n{changed}\n\nVersion: {url}\n"


def page(card: str, line: str, body: str, changed: str) -> str:
    """The version's description: what fits of it, the decision before all else. The whole is in the artifacts."""
    whole, elsewhere = f"{HEAD}{line}\n\n{body}", "The card is card.md, in the version's artifacts."
    begin = card.partition("\n## ")[0].rstrip()
    texts = (
        f"{whole}\n\n{changed}{CARD}{card}",
        f"{whole}{CARD}{card}",
        f"{whole}{CARD}{begin}\n\n{elsewhere}\n",
        f"{whole}{CARD}{elsewhere}\n",
        f"{HEAD}{line}{CARD}{elsewhere}\n",
    )
    return next((text for text in texts if len(text) <= LONGEST), texts[-1][:LONGEST])


def record(evidence: Evidence, verdicts: Mapping[str, Verdict], changes: Changes | None) -> dict[str, Any]:
    """For programs: verdicts with reasons, and all that they were made of."""
    found = asdict(evidence)
    return {
        "rules": [{"rule": name, "passed": one.passed, "reason": one.reason} for name, one in verdicts.items()],
        "metrics": found.pop("metrics"),
        "evidence": {name: value for name, value in found.items() if name not in ("challenger", "champion")},
        "changes": asdict(changes) if changes else None,
    }


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "-"


def _value(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "none" if value is None else str(value)
