"""The action itself: recover, look up, change the champion."""

from __future__ import annotations

from pipelines.errors import PipelineError
from pipelines.promote.params import PromoteParams
from pipelines.stage import Report
from pipelines.stores import changeover, journal, permission, publication, registry, repository, wanted
from pipelines.stores.registry import Version
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server


def work(promote: PromoteParams, word: str) -> Report:
    """See the package's docstring."""
    number, server = wanted.number(word, "promote"), Server()
    with repository.lock():
        server.check()
        notes = changeover.recover(settings().model_name, server).notes
        champion, previous = registry.resolve(registry.CHAMPION), registry.resolve(registry.PREVIOUS)
        notes += repaired(champion, server)
        version = registry.get(number)
        if champion and champion.version == number:
            return report(
                version, f"Triton serves version {number} of {version.model}: it is the champion already", [], notes, None
            )
        permission.allowed(version, champion)
        tags = {number: {"promoted_at": journal.now()}}
        pruned = changeover.change("promote", version, champion, previous, server, tags, promote.keep)
    was = f"before: version {champion.version}" if champion else "the first champion"
    return report(version, f"Triton serves version {number} of {version.model} ({was})", pruned, notes, champion)


def report(version: Version, summary: str, pruned: list[int], notes: list[str], before: Version | None) -> Report:
    return Report(
        read={"files of the package": len(version.hashes)},
        wrote={"served versions": 1},
        dropped={"old versions": len(pruned)},
        notes=[*notes, f"{summary}; golden sessions are answered as the file does"],
        result={
            "version": version.version,
            "previous": before.version if before else None,
            "summary": summary,
            "links": {"MLflow version": version.url},
        },
    )


def repaired(champion: Version | None, server: Server) -> list[str]:
    """What a publisher that died left is put right. A champion that cannot be restored must not keep a new one away."""
    try:
        return publication.repair(champion, server)
    except PipelineError as error:
        return [f"the champion could not be restored, the new version comes all the same: {error.what} ({error.where})"]
