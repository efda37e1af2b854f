"""The champion changes: what promote and rollback both are. Callers hold `repository.lock`.

publish (Triton serves the new version) > alias previous > alias champion > tags > old versions go. Each step is written
down before it is done (`journal`). Killed before the alias champion moved, the next run undoes the change; killed after,
it finishes it: the alias is the truth, and the only step that cannot be half done.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pipelines.errors import PipelineError, ServiceError
from pipelines.stores import journal, publication, registry, repository
from pipelines.stores.journal import Change
from pipelines.stores.registry import CHAMPION, PREVIOUS, Version
from pipelines.stores.triton import Server


@dataclass
class Recovered:
    """What was found of earlier runs that died."""

    notes: list[str] = field(default_factory=list)
    finished: list[Change] = field(default_factory=list)
    """Changes whose alias had moved: only now are they done."""


def change(
    action: str,
    version: Version,
    champion: Version | None,
    previous: Version | None,
    server: Server,
    tags: Mapping[int, Mapping[str, str]],
    keep: int | None = None,
) -> list[int]:
    """The version becomes champion, the champion previous; returns the old versions that were removed.

    champion, previous  the aliases as they are seen now; if champion is another one when it moves, nothing is changed
    tags                version -> tags that it gets once the alias has moved
    keep                old versions that stay in Triton's repository; None: all
    """
    before, further = number(champion), number(previous)
    with repository.disk(journal.folder()):
        made = journal.begin(action, version.model, version.version, before, further, keep, tags)
    try:
        publication.publish(version, lambda: _seal(made), server, lambda name: _step(made, name))
    except BaseException as error:
        _close(made, server, error)
        raise
    return _finish(made)


def recover(model: str, server: Server) -> Recovered:
    """Finish or undo what runs that died have begun.

    A champion that cannot be served again must not stop that: it may be why somebody wants another version.
    """
    found = Recovered()
    for made in journal.unfinished(model):
        champion = registry.resolve(CHAMPION)
        told = f"{made.action} of version {made.version} by {made.by} ({made.id}) had died"
        moved = number(champion) == made.version and made.reached(CHAMPION)
        if moved and made.champion not in (None, made.version):
            registry.move(PREVIOUS, int(made.champion or 0))
        if not moved and number(champion) == made.champion:
            _give_back(made)
        try:
            found.notes += publication.repair(champion, server, made.version)
        except PipelineError as error:
            found.notes.append(f"the champion could not be restored: {error.what} ({error.where})")
            if moved:
                continue  # open until it is served, or another version is champion
        if moved:
            _finish(made)
            found.finished.append(made)
            found.notes.append(f"{told} after the alias had moved: it was finished")
        else:
            outcome = "undone" if number(champion) == made.champion else f"overtaken by version {number(champion)}"
            with repository.disk(journal.folder()):
                publication.prune(model, _needed(model, champion), None)
                made.end(f"{outcome}, by the next run")
            found.notes.append(f"{told} before the alias moved: {outcome}")
    return found


def number(version: Version | None) -> int | None:
    return version.version if version else None


def _step(made: Change, name: str) -> None:
    with repository.disk(journal.folder()):
        made.step(name)


def _seal(made: Change) -> None:
    """The aliases. The old champion is `previous` before the new one is champion: there is always a way back."""
    if made.champion not in (None, made.version):
        _step(made, PREVIOUS)
        registry.move(PREVIOUS, int(made.champion or 0))
    _step(made, CHAMPION)
    try:
        registry.swap(CHAMPION, made.champion, made.version)
    except PipelineError:
        with suppress(ServiceError):
            _give_back(made)
        raise


def _give_back(made: Change) -> None:
    """The alias previous as it was before the change, if the change has moved it."""
    if made.reached(PREVIOUS) and number(registry.resolve(PREVIOUS)) == made.champion:
        if made.previous is None:
            registry.drop(PREVIOUS)
        else:
            registry.move(PREVIOUS, made.previous)


def _finish(made: Change) -> list[int]:
    """What is left to do once the alias has moved; may be done again. ServiceError says that the version serves all the same."""
    try:
        _step(made, "tags")
        with repository.disk(repository.home(made.model)):
            repository.mark(made.model, made.version)
        for one, tags in made.tags.items():
            registry.tag(int(one), tags)
        _step(made, "prune")
        with repository.disk(repository.home(made.model)):
            needed = _needed(made.model, registry.resolve(CHAMPION), registry.resolve(PREVIOUS))
            pruned = publication.prune(made.model, needed, made.keep)
            made.end(journal.DONE)
    except PipelineError as error:
        what = f"version {made.version} is champion and served, but the {made.action} is not finished: {error.what}"
        raise ServiceError(what, error.where, "put that right and run this again: it only finishes what is left") from None
    return pruned


def _needed(model: str, *versions: Version | None) -> set[int]:
    """What must stay in Triton's repository: these versions and the one that is served."""
    found = {number(version) for version in versions} | {repository.pinned(model)}
    return {one for one in found if one is not None}


def _close(made: Change, server: Server, error: BaseException) -> None:
    """The change failed and was undone: written down if it can be seen to be so, else left to the next run."""
    try:
        aliases = (number(registry.resolve(CHAMPION)), number(registry.resolve(PREVIOUS)))
        served = (repository.pinned(made.model), server.versions(made.model))
        before = made.champion if made.champion is not None else repository.pinned(made.model)
        if aliases == (made.champion, made.previous) and served == (before, [before] if before else []):
            what = error.what if isinstance(error, PipelineError) else type(error).__name__
            made.end(f"undone: {what}")
    except (OSError, PipelineError) as unseen:
        print(f"whether all was undone could not be seen ({unseen}); the next run looks again", file=sys.stderr, flush=True)
