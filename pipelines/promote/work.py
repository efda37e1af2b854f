"""The action itself: look up, repair, publish, move the aliases, tidy up."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime

from pipelines.errors import DataError, PipelineError, ServiceError
from pipelines.paths import REGISTER
from pipelines.promote.params import PromoteParams
from pipelines.stage import Report
from pipelines.stores import publication, registry, repository
from pipelines.stores.registry import Version
from pipelines.stores.triton import Server


def work(promote: PromoteParams) -> Report:
    """See the package's docstring."""
    server = Server()
    with repository.lock():
        server.check()
        version = registry.get(promote.version or registered())
        allowed(version)
        champion, previous = registry.resolve(registry.CHAMPION), registry.resolve(registry.PREVIOUS)
        notes = repaired(champion, server)
        publication.publish(version, lambda: seal(version, champion, previous), server)
        registry.tag(version.version, {"promoted_at": datetime.now(UTC).isoformat(timespec="seconds"), **review()})
        kept = {one.version for one in (version, champion, previous) if one}
        pruned = publication.prune(version.model, kept, promote.keep)
    was = f"before: version {champion.version}" if champion else "the first champion"
    notes.append(
        f"Triton serves version {version.version} of {version.model} ({was}); golden sessions are answered as the file does"
    )
    return Report(
        read={"files of the package": len(version.hashes)},
        wrote={"served versions": 1},
        dropped={"old versions": len(pruned)},
        notes=notes,
        result={
            "version": version.version,
            "previous": champion.version if champion else None,
            "summary": f"Triton serves version {version.version} of {version.model} ({was})",
            "links": {"MLflow version": version.url},
        },
    )


def repaired(champion: Version | None, server: Server) -> list[str]:
    """What a publisher that died left is put right. A champion that cannot be restored must not keep a new one away."""
    try:
        return publication.repair(champion, server)
    except PipelineError as error:
        return [f"the champion could not be restored, the new version comes all the same: {error.what} ({error.where})"]


def registered() -> int:
    """The version of this run."""
    path = REGISTER / "version.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError) as error:
        next_step = "run register and gate first, or name a version: promote.version"
        raise DataError("this run has registered no version", f"{path}: {error}", next_step) from None


def allowed(version: Version) -> None:
    """DataError if the gate has not said yes."""
    verdict = version.tags.get("gate.verdict")
    if verdict != "yes":
        said = f"gate.verdict is {verdict!r}" if verdict else "the gate has not judged it"
        raise DataError(
            f"version {version.version} may not be promoted: {said}", version.url, "promote a version that the gate let pass"
        )


def seal(version: Version, champion: Version | None, previous: Version | None) -> None:
    """The aliases. The old champion is `previous` before the new one is champion: there is always a way back."""
    if champion and champion.version != version.version:
        registry.move(registry.PREVIOUS, champion.version)
    try:
        registry.move(registry.CHAMPION, version.version)
    except ServiceError:
        with suppress(ServiceError):
            if previous:
                registry.move(registry.PREVIOUS, previous.version)
            elif champion:
                registry.drop(registry.PREVIOUS)
        raise


def review() -> dict[str, str]:
    """Who approved and why, as Airflow's approval told it."""
    answer = json.loads(os.environ.get("REVIEW") or "null") or {}
    found = {
        "review.answer": ", ".join(answer.get("chosen_options") or []),
        "review.by": (answer.get("responded_by_user") or {}).get("name"),
        "review.comment": (answer.get("params_input") or {}).get("comment"),
    }
    return {key: str(value) for key, value in found.items() if value}
