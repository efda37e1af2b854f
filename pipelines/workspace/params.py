"""Settings of a run's workspace."""

from __future__ import annotations

from pydantic import PositiveInt

from pipelines.params import Config


class WorkspaceParams(Config):
    """Where a run takes its raw files from, and how many runs are kept."""

    raw: str | None
    """Raw click files to read: a file, a folder, or several separated by spaces; wildcards are allowed. Empty: data/raw."""
    keep: PositiveInt
    """Workspaces of finished runs kept on disk; older ones are removed (their results stay in DVC's cache and in MLflow)."""
