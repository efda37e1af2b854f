"""The list of a package's files with the SHA-256 of each: what was registered is what is served, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import DataError

MANIFEST = "manifest.json"
CHANGED = "the version cannot be trusted any more: register the model again, or restore the file from a backup"


def sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below the folder, by its path in it; the manifest itself is left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def text(listed: Mapping[str, str]) -> str:
    """What `manifest.json` says of these files: the same hashes make the same bytes."""
    return json.dumps(dict(listed), indent=2, sort_keys=True) + "\n"


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def write(folder: Path) -> dict[str, str]:
    """Write `manifest.json`; returns what it lists, with its own hash beside."""
    listed = hashes(folder)
    (folder / MANIFEST).write_text(text(listed), encoding="utf-8")
    return {**listed, MANIFEST: sha256(folder / MANIFEST)}


def check(folder: Path, registered: Mapping[str, str], origin: str) -> None:
    """Compare the files with the hashes that the registry keeps, and with the manifest. DataError names file and hashes.

    registered  file -> SHA-256, the manifest included, as kept outside the artifact store
    origin      what the folder is a copy of, for the message
    """
    found = hashes(folder)
    if (folder / MANIFEST).exists():
        found[MANIFEST] = sha256(folder / MANIFEST)
    for name, expected in sorted(registered.items()):
        if found.get(name) != expected:
            seen = found.get(name, "the file is not there")
            raise DataError(
                f"{name} is not what was registered", f"{origin}: SHA-256 {expected} registered, found {seen}", CHANGED
            )
    strangers = sorted(set(found) - set(registered))
    if strangers:
        raise DataError(
            f"{strangers[0]} was not registered", f"{origin}: SHA-256 {found[strangers[0]]}, none registered", CHANGED
        )
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{MANIFEST} cannot be read", f"{origin}: {error}", CHANGED) from None
    if listed != {name: value for name, value in found.items() if name != MANIFEST}:
        raise DataError(f"{MANIFEST} does not list the files beside it", origin, CHANGED)
