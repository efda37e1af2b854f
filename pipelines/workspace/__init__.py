"""workspace: a run gets a checkout of its own, with the values of the trigger form and the champion to compare with.

in   the project's git repository (uncommitted changes of tracked files included), params.yaml, raw files,
     the registry's champion;
     environment: WORKSPACE (folder of the run), OVERRIDES (JSON of the form: {"etl.min_session_length": 3, ...})
out  WORKSPACE with its params.yaml, data/raw (links), data/train/champion, data/vocabulary/known.parquet

A champion that cannot be read (a file damaged or gone) is data/train/champion/unreadable.json: the run goes on, the gate refuses.
"""

from __future__ import annotations

from pipelines.stage import Report
from pipelines.workspace.params import WorkspaceParams


def run(workspace: WorkspaceParams) -> Report:
    """Make the workspace, or make it anew when the task is repeated. `result.each_model` is what Airflow maps over."""
    from pipelines.workspace.work import work

    return work(workspace)
