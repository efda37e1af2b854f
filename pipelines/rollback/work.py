"""The action itself: the same change of the champion as a promotion, the other way round."""

from __future__ import annotations

from pipelines.errors import DataError
from pipelines.stage import Report
from pipelines.stores import changeover, journal, registry, repository
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server

NAME = "rollback"


def work() -> Report:
    """See the package's docstring. DataError if there is no other version to go back to."""
    server = Server()
    with repository.lock():
        server.check()
        recovered = changeover.recover(settings().model_name, server)
        finished = [one.version for one in [*recovered.finished, journal.done(NAME)] if one and one.action == NAME]
        champion, previous = registry.resolve(registry.CHAMPION), registry.resolve(registry.PREVIOUS)
        if champion is None or previous is None or champion.version == previous.version:
            seen = f"champion: {champion.version if champion else 'none'}, previous: {previous.version if previous else 'none'}"
            next_step = "promote a version by number: python -m pipelines promote VERSION"
            raise DataError("there is no previous champion to go back to", seen, next_step)
        if champion.version in finished:
            # a task that is tried again, after it died with the alias moved: going back once more would undo it
            old, new = previous, champion
        else:
            # no repair first: that the champion cannot be served may be why somebody rolls back
            old, new = champion, previous
            changeover.change(NAME, new, old, new, server, {old.version: {"rolled_back_at": journal.now()}})
    line = f"Triton serves version {new.version} of {new.model} again (before: version {old.version})"
    return Report(
        wrote={"served versions": 1},
        notes=[*recovered.notes, line],
        result={"version": new.version, "previous": old.version, "summary": line, "links": {"MLflow version": new.url}},
    )
