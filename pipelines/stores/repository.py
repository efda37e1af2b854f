"""Triton's model repository as files: versions come in whole or not at all, and one file says which one is served.

var/triton/repository/<model>/config.pbtxt       pins the served version: the one thing that is switched
                              <version>/          model.onnx and what is needed to serve it again; PROMOTED once it was champion
var/triton/staging/           half-made folders; of no worth after a crash
var/triton/publish.lock       held by the one publisher
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import ServiceError
from pipelines.stores import manifest
from pipelines.stores.journal import sync
from pipelines.stores.settings import settings

BEFORE = ".config.before"
MODEL, CONFIG, GOLDEN = "model.onnx", "config.pbtxt", "golden.json"
KEPT = (MODEL, CONFIG, GOLDEN)
"""What of a package lies in the repository: enough to serve the version again without MLflow's artifacts."""
PROMOTED = "PROMOTED"
LOCK_PATIENCE_S = 60.0
PIN = re.compile(r"version_policy \{ specific \{ versions: \[ (\d+) \] \} \}")


def home(model: str) -> Path:
    return settings().triton_repository / model


def staging() -> Path:
    return settings().triton_repository.parent / "staging"


@contextmanager
def lock(patience_s: float = LOCK_PATIENCE_S) -> Iterator[None]:
    """One publisher at a time; the lock of a dead one is free at once, and what it left half made is removed.

    ServiceError names the holder.
    """
    path = settings().triton_repository.parent / "publish.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    file.seek(0)
                    next_step = "wait for it to end, then run this again"
                    raise ServiceError("another process is publishing", f"{path}: {file.read().strip()}", next_step) from None
                time.sleep(0.2)
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC\n")
        file.flush()
        shutil.rmtree(staging(), ignore_errors=True)
        try:
            yield
        finally:
            shutil.rmtree(staging(), ignore_errors=True)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """A full or failing disk as ServiceError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full: the version cannot be published" if full else f"the version cannot be written: {error.strerror}"
        next_step = "free space on that disk and run this again; what was served before goes on being served"
        raise ServiceError(what, str(error.filename or path), next_step) from None


def stage(package: Path, model: str, version: int) -> Path:
    """A copy of what is kept of the package, on the repository's file system, safely on disk."""
    folder = staging() / f"{model}-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in KEPT:
        shutil.copyfile(package / name, folder / name)
        sync(folder / name)
    sync(folder)
    return folder


def put(staged: Path, model: str, version: int) -> Path | None:
    """Rename the staged folder into the repository. A folder of that number is put aside; returns where, for `take_back`."""
    target, aside = home(model) / str(version), None
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        aside = staging() / f"aside-{model}-{version}"
        aside.parent.mkdir(parents=True, exist_ok=True)
        target.rename(aside)
    try:
        staged.rename(target)
    except OSError:
        if aside:
            aside.rename(target)
        raise
    sync(target.parent)
    return aside


def take_back(model: str, version: int, aside: Path | None) -> None:
    """Undo `put`."""
    drop(model, version)
    if aside:
        aside.rename(home(model) / str(version))
    sync(home(model))


def whole(model: str, version: int, hashes: Mapping[str, str]) -> bool:
    """Whether the repository holds this version, byte for byte."""
    folder = home(model) / str(version)
    return all((folder / name).exists() and manifest.sha256(folder / name) == hashes.get(name) for name in KEPT)


def pinned(model: str) -> int | None:
    """The version that the configuration says is served; None without one."""
    path = home(model) / CONFIG
    found = PIN.search(path.read_text(encoding="utf-8")) if path.exists() else None
    return int(found[1]) if found else None


def pin(model: str, version: int) -> None:
    """From the next load or start of the server on, this version is served. One rename: there is no state between."""
    path, before = home(model) / CONFIG, home(model) / BEFORE
    before.unlink(missing_ok=True)
    if path.exists():
        before.hardlink_to(path)
    text = (home(model) / str(version) / CONFIG).read_text(encoding="utf-8")
    policy = f"version_policy {{ specific {{ versions: [ {version} ] }} }}\n"
    draft = path.with_name(f".{CONFIG}.{os.getpid()}")
    try:
        draft.write_text(f'{text}{policy}metric_tags {{ key: "registry_version" value: "{version}" }}\n', encoding="utf-8")
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def unpin(model: str) -> None:
    """Undo `pin`; a rename or a removal, so that it works on a full disk too."""
    path, before = home(model) / CONFIG, home(model) / BEFORE
    if before.exists():
        before.replace(path)
    else:
        path.unlink(missing_ok=True)
    sync(path.parent)


def mark(model: str, version: int) -> None:
    """The version has been champion: it stays for a rollback."""
    (home(model) / str(version) / PROMOTED).touch()


def promoted(model: str, version: int) -> bool:
    return (home(model) / str(version) / PROMOTED).exists()


def numbers(model: str) -> list[int]:
    """Versions in the repository, oldest first."""
    folder = home(model)
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []


def drop(model: str, version: int) -> None:
    """Remove a version that is not served: first out of sight, so that it is never seen half removed."""
    aside = staging() / f"dropped-{model}-{version}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    (home(model) / str(version)).rename(aside)
    shutil.rmtree(aside)
