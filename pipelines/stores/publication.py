"""A version becomes what Triton serves, or nothing changes. Callers hold `repository.lock`.

The registry's alias `champion` is the truth: it moves last, after the server has answered the golden sessions rightly.
Killed before that, the next publisher (`repair`) makes the server agree with the alias again.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipelines.errors import DataError, PipelineError, ServiceError
from pipelines.stores import manifest, registry, repository
from pipelines.stores.answers import Graph, differences, read_golden, take
from pipelines.stores.registry import Version
from pipelines.stores.triton import Server


def publish(version: Version, seal: Callable[[], None], server: Server) -> None:
    """Stage, check, dry run, rename, switch, load, ask; then `seal` moves the alias. If any of it fails, all is undone.

    DataError if a file is not what was registered or the answers differ; ServiceError if Triton, MLflow or the disk fails.
    """
    model, number = version.model, version.version
    undo = contextlib.ExitStack()
    try:
        with repository.disk(repository.staging()):
            if not repository.whole(model, number, version.hashes):
                aside = repository.put(_checked(version), model, number)
                undo.callback(_settle, model, server)
                undo.callback(repository.take_back, model, number, aside)
            undo.callback(_settle, model, server)
            undo.callback(repository.unpin, model)
            repository.pin(model, number)
        server.load(model)
        _ask_golden(version, server)
        with repository.disk(repository.home(model)):
            repository.mark(model, number)
        seal()
    except BaseException:
        _undo(undo)
        raise


def repair(champion: Version | None, server: Server) -> list[str]:
    """Make the server agree with the registry after a publisher that died; returns what was done.

    If the configuration or the server has another version than the alias, the alias wins.
    """
    notes: list[str] = []
    if champion is None:
        return notes
    model, number = champion.model, champion.version
    if repository.pinned(model) != number or server.versions(model) != [number]:
        publish(champion, lambda: None, server)
        notes.append(f"the server did not serve the champion: version {number} was restored")
    for other in repository.numbers(model):
        if other != number and not (repository.home(model) / str(other) / repository.PROMOTED).exists():
            repository.drop(model, other)
            notes.append(f"version {other} had been published half: removed")
    return notes


def prune(model: str, needed: set[int], keep: int) -> list[int]:
    """Remove the oldest versions beyond `keep`, never a needed one; returns which."""
    others = [number for number in repository.numbers(model) if number not in needed]
    old = others[: max(0, len(others) - keep)]
    for number in old:
        repository.drop(model, number)
    return old


def _checked(version: Version) -> Path:
    """The package pulled, its kept files staged, compared with the registry's hashes, and run once in this process."""
    package = repository.staging() / "package"
    registry.fetch(version, package)
    staged = repository.stage(package, version.model, version.version)
    for name in repository.KEPT:
        if manifest.sha256(staged / name) != version.hashes[name]:
            raise DataError(f"{name} changed while it was copied", str(staged / name), "check this disk, then run this again")
    request, expected = read_golden(staged / repository.GOLDEN)
    try:
        answers = Graph(staged / repository.MODEL).ask(request)
    except Exception as error:  # onnxruntime raises its own types, unrelated to each other
        where = f"{version.model} version {version.version}: {' '.join(str(error).split())[:500]}"
        raise DataError("onnxruntime cannot run the graph", where, "register the model again") from error
    wrong, apart = differences(expected, answers)
    if wrong.any():
        where = f"{int(wrong.sum())} of {len(wrong)} golden sessions, largest difference {apart:.2g}"
        raise DataError("the graph does not answer as it did at registration", where, "register the model again on this machine")
    return staged


def _ask_golden(version: Version, server: Server) -> None:
    """The served version answers as it did at registration, and it is the one that clients get."""
    request, expected = read_golden(repository.home(version.model) / str(version.version) / repository.GOLDEN)
    answers, _ = server.ask(version.model, request, version.version)
    _, seen = server.ask(version.model, take(request, slice(1)))
    wrong, apart = differences(expected, answers)
    if wrong.any():
        where = f"{int(wrong.sum())} of {len(wrong)} golden sessions, largest difference {apart:.2g}"
        raise DataError("Triton does not answer as the file does", where, "compare onnxruntime here and in Triton's environment")
    if seen != version.version:
        raise ServiceError(
            f"Triton answers with version {seen}, not {version.version}", server.url, "read Triton's log (make status)"
        )


def _settle(model: str, server: Server) -> None:
    """The server takes what the repository says now. One that does not answer finds it when it starts."""
    with suppress(ServiceError):
        if repository.pinned(model) is None:
            server.unload(model)
        else:
            server.load(model)


def _undo(steps: contextlib.ExitStack) -> None:
    """Last step first. What cannot be undone is said, and left to `repair`: it must not hide why the publishing failed."""
    try:
        steps.close()
    except (OSError, PipelineError) as error:
        print(f"could not undo all of it ({error}); the next promote or rollback repairs the rest", file=sys.stderr, flush=True)
