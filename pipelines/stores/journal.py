"""What a publisher is about to do, written down before each step, so that one who died is understood by the next.

var/promotions/000012-promote-4.json   one change of the served version: what it wants, its steps, how it ended
               overrides.log           JSON lines: who let a version pass that the gate had refused, and why

Numbers, not times, order the files: a clock may jump. A file is replaced by a rename, hence never half written.
"""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.errors import DataError
from pipelines.stores.settings import settings

ACTOR = "NEXTCLICK_ACTOR"
"""Environment variable: who is acting, where that is not the user of this process."""
RUN = "AIRFLOW_CTX_DAG_RUN_ID"
"""Environment variable: the run of Airflow that this process is a task of; a task that is tried again has the same."""
DONE = "done"
KEPT = 200
"""Changes that are kept to be read; older ones go."""


@dataclass
class Change:
    """One change of the served version. `outcome` is empty while it goes on, or for ever if its process died."""

    id: str
    action: str
    model: str
    version: int
    champion: int | None
    """The champion at the beginning; it becomes previous."""
    previous: int | None
    keep: int | None
    """Old versions to keep; None: all."""
    tags: dict[str, dict[str, str]]
    """Version -> tags that it gets once the alias has moved."""
    by: str
    process: int
    began: str
    steps: list[dict[str, str]] = field(default_factory=list)
    outcome: str = ""
    ended: str = ""
    run: str = ""
    """Of Airflow; empty by hand."""

    def step(self, name: str) -> None:
        """Write down that this step comes next. OSError if the disk takes no more."""
        self.steps.append({"step": name, "at": now()})
        self._write()

    def reached(self, name: str) -> bool:
        """Whether the step was begun; if it was done nobody knows."""
        return any(one["step"] == name for one in self.steps)

    def end(self, outcome: str) -> None:
        self.outcome, self.ended = outcome, now()
        self._write()

    def _write(self) -> None:
        path = folder() / f"{self.id}.json"
        draft = path.with_suffix(".draft")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(json.dumps(asdict(self), indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        sync(path.parent)


def begin(
    action: str,
    model: str,
    version: int,
    champion: int | None,
    previous: int | None,
    keep: int | None,
    tags: Mapping[int, Mapping[str, str]],
) -> Change:
    """A new change, on disk before anything is done. The caller holds the publish lock: numbers are given once."""
    folder().mkdir(parents=True, exist_ok=True)
    files = paths()
    for old in files[: max(0, len(files) - KEPT + 1)]:
        old.unlink()
    number = int(files[-1].name[:6]) + 1 if files else 1
    given = {str(key): dict(values) for key, values in tags.items()}
    name = f"{number:06d}-{action}-{version}"
    change = Change(name, action, model, version, champion, previous, keep, given, actor(), os.getpid(), now(), run=run())
    change.step("begin")
    return change


def unfinished(model: str) -> list[Change]:
    """Changes of this model whose process died, oldest first (the caller holds the publish lock: none is still at work)."""
    return [change for change in map(read, paths()) if change.model == model and not change.outcome]


def done(action: str) -> Change | None:
    """The youngest change that this very run of Airflow has ended with success, by an earlier try of this task."""
    if not run():
        return None
    found = [change for change in map(read, paths()) if (change.action, change.run, change.outcome) == (action, run(), DONE)]
    return found[-1] if found else None


def read(path: Path) -> Change:
    """DataError if a person's hand has broken the file."""
    try:
        return Change(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        next_step = "it is no file that a publisher wrote: look at it, then move it out of that folder"
        raise DataError("a note about an earlier change cannot be read", f"{path}: {error}", next_step) from None


def note(record: Mapping[str, Any]) -> Path:
    """Append a line to the log of overrides, on disk when this returns."""
    folder().mkdir(parents=True, exist_ok=True)
    path = folder() / "overrides.log"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(record)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync(folder())
    return path


def folder() -> Path:
    return settings().var / "promotions"


def paths() -> list[Path]:
    return sorted(folder().glob("[0-9]*.json"))


def actor() -> str:
    """Who acts: NEXTCLICK_ACTOR, else the operating system's user."""
    if named := os.environ.get(ACTOR, "").strip():
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number without a name
        return f"uid {os.getuid()}"


def run() -> str:
    return os.environ.get(RUN, "")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def sync(path: Path) -> None:
    """On disk, not only in the page cache: files and the folders that name them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
