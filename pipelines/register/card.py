"""The model card: what a person should know before this version answers visitors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("recall_at_20", "mrr_at_20", "ndcg_at_20", "recall_at_5", "coverage_at_20")


def write(
    name: str,
    config: Mapping[str, Any],
    valid: Mapping[str, float],
    tested: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, object],
) -> str:
    """Markdown. valid: MRR@20 of each candidate; tested: metrics of each model on the test sessions; facts: a list of words."""
    settings = "\n".join(f"| {key} | {value} |" for key, value in config.items()) or "| none | |"
    told = "\n".join(f"- **{key}**: {value}" for key, value in facts.items())
    return f"""# {name}: next item of a session

Recommends the items a visitor clicks next, from the clicks of the running session.

{told}

## On the test sessions (all items ranked)

{table(name, tested)}

Chosen by MRR@20 on the validation sessions: {", ".join(f"{key} {value:.4f}" for key, value in valid.items())}.

## Settings

| setting | value |
|---|---|
{settings}

## Use

Raw item ids in, most recent last, -1 pads; raw item ids and scores out. Unknown ids are ignored. A session without a known
item gets the most popular items, and `fallback` says so.

## Limits

- Items that were first seen after the data's last day are unknown until the next training.
- Measured on logged clicks: what the shop showed shaped what was clicked. An online test can say otherwise.
- No user profile, no stock, no price rule: filter the answer where these matter.
"""


def table(name: str, tested: Mapping[str, Mapping[str, Any]]) -> str:
    """Every model, best MRR@20 first; the chosen one in bold."""
    rows = [f"| model | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for model, metrics in sorted(tested.items(), key=lambda row: -row[1]["mrr_at_20"]):
        shown = f"**{model}**" if model == name else model
        rows.append(f"| {shown} | {' | '.join(_number(metrics.get(column)) for column in COLUMNS)} |")
    return "\n".join(rows)


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else "-"
