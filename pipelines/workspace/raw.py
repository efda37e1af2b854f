"""Raw files come into a workspace as links: nothing is copied, and DVC hashes what they point to."""

from __future__ import annotations

import glob
from pathlib import Path

from pipelines import paths
from pipelines.errors import DataError


def find(named: str | None, root: Path) -> list[Path]:
    """Files of the setting `workspace.raw`, or those in data/raw. Relative names are seen from the project's root."""
    if not named:
        return [path for path in sorted((root / paths.RAW).rglob("*")) if path.is_file() and path.name != "README.md"]
    found: list[Path] = []
    for word in named.split():
        matches = [Path(match) for match in sorted(glob.glob(str(root / Path(word).expanduser())))]
        files = [
            file for match in matches for file in (sorted(match.rglob("*")) if match.is_dir() else [match]) if file.is_file()
        ]
        if not files:
            raise DataError(f"no raw file at {word!r}", f"workspace.raw = {named!r}, seen from {root}", "name a file or a folder")
        found += files
    return [file.resolve() for file in found]


def link(files: list[Path], folder: Path) -> int:
    """Links in `folder`, by file name; returns how many. Two files of one name are an error: rows are known by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        target = folder / ("repaired" if file.parent.name == "repaired" else "") / file.name
        if target.is_symlink():
            raise DataError(f"two raw files are named {file.name}", f"{target.readlink()} and {file}", "rename one of them")
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(file)
    return len(files)
