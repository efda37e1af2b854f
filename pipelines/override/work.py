"""The action itself: who, when, why and against which rules, written down in three places."""

from __future__ import annotations

from pipelines.errors import ParamsError
from pipelines.stage import Report
from pipelines.stores import journal, registry, repository
from pipelines.stores.registry import Version

SHORTEST = 10
"""Characters of a reason: "ok" is none."""


def work(word: str, reason: str) -> Report:
    """See the package's docstring. ParamsError if version or reason is none, DataError if the version does not exist."""
    usage, why = 'python -m pipelines override VERSION "REASON"', " ".join(reason.split())
    if not word.isdecimal():
        raise ParamsError(f"{word!r} is no version of the registry", usage, "give its number first, then the reason in quotes")
    if len(why) < SHORTEST:
        next_step = f"say in at least {SHORTEST} characters why the gate's rules do not hold for this version"
        raise ParamsError(f"{why!r} is no reason", usage, next_step)
    version = registry.get(int(word))
    record = {
        "override.by": journal.actor(),
        "override.at": journal.now(),
        "override.why": why,
        "override.rules": refused(version),
    }
    with repository.disk(journal.folder()):
        log = journal.note({"model": version.model, "version": version.version, **record})
    line = f"Overridden by {record['override.by']} at {record['override.at']} ({record['override.rules']}): {why}"
    registry.describe(version.version, f"**{line}**\n\n{version.description}")
    registry.tag(version.version, record)
    summary = f"version {version.version} of {version.model} may be promoted. {line}"
    return Report(
        wrote={"overrides": 1},
        notes=[summary, f"also in {log}", f"nothing is published yet: python -m pipelines promote {version.version}"],
        result={"version": version.version, "summary": summary, "links": {"MLflow version": version.url}},
    )


def refused(version: Version) -> str:
    """What the gate said, as far as its tags tell."""
    tags = version.tags
    if "gate.verdict" not in tags:
        return "the gate has not judged it"
    against = f"against {tags.get('gate.champion', 'an unknown champion')}"
    if tags["gate.verdict"] == "yes":
        return f"the gate said yes, {against}"
    return f"the gate refused it, {against}: {tags.get('gate.refused', 'see the decision on its page')}"
