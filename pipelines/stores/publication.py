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
from pipelines.stores import manifest, registry, repository, signature
from pipelines.stores.answers import Graph, differences, read_golden, take
from pipelines.stores.registry import Version
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server


def publish(version: Version, seal: Callable[[], None], server: Server, step: Callable[[str], None] = lambda name: None) -> None:
    """Stage, check, dry run, rename, switch, load, ask; then `seal` moves the alias. If any of it fails, all is undone.

    step  told the name of what comes next, before it is done
    DataError if a file is not what was registered or the answers differ; ServiceError if Triton, MLflow or the disk fails.
    """
    model, number = version.model, version.version
    signature.verify(version.hashes, version.tags.get(signature.TAG), f"{model} version {number}")
    undo = contextlib.ExitStack()
    try:
        with repository.disk(repository.staging()):
            if not repository.whole(model, number, version.hashes):
                step("stage")
                staged = _checked(version)
                step("place")
                aside = repository.put(staged, model, number)
                undo.callback(_settle, model, server)
                undo.callback(repository.take_back, model, number, aside)
            step("pin")
            undo.callback(_settle, model, server)
            undo.callback(repository.unpin, model)
            repository.pin(model, number)
        step("load")
        server.load(model)
        step("ask")
        _ask_golden(version, server)
        seal()
    except BaseException:
        _undo(undo)
        raise


def repair(champion: Version | None, server: Server, half: int | None = None) -> list[str]:
    """Make the server agree with the registry after a publisher or a backend that died; returns what was done.

    If the configuration or the server has another version than the alias, the alias wins.
    half  a version that was being published; without a champion it is taken back, any other goes on being served
    """
    if champion is None:
        if half is None or repository.pinned(settings().model_name) != half:
            return []
        repository.unpin(settings().model_name)
        _settle(settings().model_name, server)
        return [f"version {half} is not served any more: it had not become the first champion"]
    model, number = champion.model, champion.version
    agree = repository.pinned(model) == number and server.versions(model) == [number]
    if not agree or not repository.whole(model, number, champion.hashes):
        publish(champion, lambda: None, server)
        with repository.disk(repository.home(model)):
            repository.mark(model, number)
        return [f"the server did not serve the champion: version {number} was restored"]
    done = _revived(model, server)
    return [done] if done else []


def revive(server: Server) -> str | None:
    """Find a dead backend process by asking for an answer, and start it again; returns what was done, None if all is well.

    Cheap and without the lock as long as the server answers. A server that is away is the process manager's business.
    ServiceError if reviving does not help, if the server is too slow to answer at all, or if a publisher is at work.
    """
    model = settings().model_name
    if repository.pinned(model) is None or not server.live() or server.failure(model) is None:
        return None
    with repository.lock():
        return _revived(model, server)


def prune(model: str, needed: set[int], keep: int | None) -> list[int]:
    """Remove what was never champion, and of the others the oldest beyond `keep`; never a needed one. Returns which."""
    others = [number for number in repository.numbers(model) if number not in needed]
    promoted = [number for number in others if repository.promoted(model, number)]
    kept = promoted if keep is None else promoted[max(0, len(promoted) - keep) :]
    gone = [number for number in others if number not in kept]
    for number in gone:
        repository.drop(model, number)
    return gone


def _revived(model: str, server: Server) -> str | None:
    """Unload and load if the model does not answer, twice asked. Nothing serves then: no request is lost by it."""
    if server.failure(model) is None or (why := server.failure(model)) is None:
        return None
    server.unload(model)
    server.load(model)
    still = server.failure(model)
    if still is not None:
        what = f"{model} does not answer, not even after it was loaded again"
        raise ServiceError(what, f"{server.url}: {still}", "read Triton's log (make status), then restart it: make down, make up")
    return f"{model} did not answer ({why}): it was loaded again"


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
