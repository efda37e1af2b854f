"""The action itself: checkout, values, raw files, champion."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pipelines import params, paths
from pipelines.errors import ParamsError
from pipelines.stage import Report
from pipelines.stores import registry
from pipelines.stores.settings import settings
from pipelines.workspace import checkout, overrides, raw
from pipelines.workspace.params import WorkspaceParams


def work(workspace: WorkspaceParams) -> Report:
    """See the package's docstring."""
    folder = Path(variable("WORKSPACE"))
    values = overrides.apply(params.read(), os.environ.get("OVERRIDES", "{}"))
    workspace = params.validate("workspace", WorkspaceParams, values["workspace"])
    source = raw.find(workspace.raw, settings().root)
    commit, notes = checkout.make(settings().root, folder)
    overrides.write(values, folder / paths.PARAMS)
    links = raw.link(source, folder / paths.RAW)
    champion = registry.fetch("champion", folder / paths.TRAIN / "champion")
    if champion:
        (folder / paths.TRAIN / "champion" / "vocabulary.parquet").rename(folder / paths.KNOWN)
    notes.append(f"champion: version {champion.version}" if champion else "no champion yet: the vocabulary begins anew")
    removed = checkout.prune(settings().root, folder, workspace.keep)
    (folder / "run.json").write_text(json.dumps({"commit": commit, "run_id": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID")}))
    return Report(
        read={"raw files": links},
        wrote={"workspaces": 1},
        dropped={"old workspaces": removed},
        notes=[f"workspace {folder}", f"git commit {commit}", *notes],
        result={"workspace": str(folder), "each_model": [{"MODEL": name} for name in values["models"]]},
    )


def variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ParamsError(f"the environment variable {name} is not set", "python -m pipelines workspace", "run it from Airflow")
    return value
