"""The decision as a person reads it, and as a program does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.gate.rules import Evidence, Verdict

COLUMNS = ("mrr_at_20", "recall_at_20", "ndcg_at_20", "recall_at_5", "coverage_at_20")


def summary(evidence: Evidence, verdicts: Mapping[str, Verdict], version: int) -> str:
    """One line."""
    refused = [name for name, verdict in verdicts.items() if not verdict.passed]
    against = f"against version {evidence.champion}" if evidence.champion is not None else "no champion yet"
    head = f"version {version} ({evidence.challenger}), {against}:"
    if refused:
        return f"{head} no, because of {', '.join(refused)}"
    return f"{head} yes, all {len(verdicts)} rules pass"


def table(verdicts: Mapping[str, Verdict], metrics: Mapping[str, Mapping[str, Any]], challenger: str) -> str:
    """Markdown: rules with reasons, then models with metrics; both the review page and decision.md show it."""
    rules = [
        "| rule | verdict | reason |",
        "|---|---|---|",
        *(f"| {name} | {'yes' if verdict.passed else '**no**'} | {verdict.reason} |" for name, verdict in verdicts.items()),
    ]
    models = [f"| model | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, measured in sorted(metrics.items(), key=lambda row: -row[1]["mrr_at_20"]):
        shown = f"**{name}** (challenger)" if name == challenger else name
        models.append(f"| {shown} | {' | '.join(_number(measured.get(column)) for column in COLUMNS)} |")
    return "\n".join([*rules, "", *models])


def markdown(line: str, body: str, url: str) -> str:
    return f"# Decision\n\n{line}\n\n{body}\n\nVersion: {url}\n"


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "-"
