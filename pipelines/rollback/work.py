"""The action itself: the same publishing as a promotion, the other way round."""

from __future__ import annotations

from datetime import UTC, datetime

from pipelines.errors import DataError
from pipelines.stage import Report
from pipelines.stores import publication, registry, repository
from pipelines.stores.triton import Server


def work() -> Report:
    """See the package's docstring. DataError if there is no other version to go back to."""
    server = Server()
    with repository.lock():
        server.check()
        champion, previous = registry.resolve(registry.CHAMPION), registry.resolve(registry.PREVIOUS)
        if champion is None or previous is None or champion.version == previous.version:
            seen = f"champion: {champion.version if champion else 'none'}, previous: {previous.version if previous else 'none'}"
            raise DataError("there is no previous champion to go back to", seen, "promote a version by number: promote.version")
        # no repair first: that the champion cannot be served may be why somebody rolls back
        old, new = champion.version, previous.version

        def seal() -> None:
            registry.move(registry.CHAMPION, new)
            registry.move(registry.PREVIOUS, old)

        publication.publish(previous, seal, server)
        registry.tag(old, {"rolled_back_at": datetime.now(UTC).isoformat(timespec="seconds")})
    line = f"Triton serves version {new} of {previous.model} again (before: version {old})"
    return Report(
        wrote={"served versions": 1},
        notes=[line],
        result={"version": new, "previous": old, "summary": line, "links": {"MLflow version": previous.url}},
    )
