"""A run's own checkout: a git worktree of what the project's files say now."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from pipelines.errors import DataError
from pipelines.stores.settings import settings


def git(root: Path, *arguments: str) -> str:
    """Output of a git command in `root`; DataError with what git said."""
    done = subprocess.run(("git", "-C", str(root), *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or f"exit {done.returncode}"
        raise DataError(
            f"git {arguments[0]} failed: {said}", str(root), "the project must be a git clone with at least one commit"
        )
    return done.stdout.strip()


def make(root: Path, folder: Path) -> tuple[str, list[str]]:
    """Check the project out into `folder`; returns the commit and notes.

    Uncommitted changes of tracked files come along as a commit of their own (kept under refs/nextclick), so that what
    a run did can always be looked up. Untracked files do not: they are named in a note.
    """
    notes = []
    head = git(root, "rev-parse", "HEAD")
    commit = git(root, "stash", "create", "nextclick: uncommitted changes of a run") or head
    if commit != head:
        git(root, "update-ref", f"refs/nextclick/{folder.name}", commit)
        notes.append(f"the project has uncommitted changes (on {head[:12]}): the run uses them, as commit {commit[:12]}")
    untracked = [line for line in git(root, "ls-files", "--others", "--exclude-standard").splitlines() if line.endswith(".py")]
    if untracked:
        notes.append(f"not in git, so not in this run: {', '.join(untracked[:5])} (git add them)")
    remove(root, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    git(root, "worktree", "add", "--detach", "--force", str(folder), commit)
    # One DVC cache for all runs; no writes into the project's git by DVC.
    local = f"[core]\n    no_scm = true\n[cache]\n    dir = {settings().var / 'dvc' / 'cache'}\n"
    (folder / ".dvc" / "config.local").write_text(local)
    return commit, notes


def remove(root: Path, folder: Path) -> None:
    """Remove a checkout, whole or half made."""
    if folder.exists():
        shutil.rmtree(folder)
    git(root, "worktree", "prune")


def prune(root: Path, current: Path, keep: int) -> int:
    """Remove the oldest workspaces beyond `keep`; returns how many. The current one always stays."""
    others = sorted(
        (path for path in current.parent.iterdir() if path.is_dir() and path != current), key=lambda p: p.stat().st_mtime
    )
    old = others[: max(0, len(others) - (keep - 1))]
    for folder in old:
        remove(root, folder)
    return len(old)
