"""The action itself: checkout, values, raw files, champion."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from pipelines import params, paths
from pipelines.errors import DataError, ParamsError
from pipelines.stage import Report
from pipelines.stores import registry
from pipelines.stores.settings import settings
from pipelines.workspace import checkout, overrides, raw
from pipelines.workspace.params import WorkspaceParams

VOCABULARY = "vocabulary.parquet"


def work(workspace: WorkspaceParams) -> Report:
    """See the package's docstring."""
    folder = Path(variable("WORKSPACE"))
    values = overrides.apply(params.read(), os.environ.get("OVERRIDES", "{}"))
    workspace = params.validate("workspace", WorkspaceParams, values["workspace"])
    source = raw.find(workspace.raw, settings().root)
    commit, notes = checkout.make(settings().root, folder)
    overrides.write(values, folder / paths.PARAMS)
    links = raw.link(source, folder / paths.RAW)
    notes.append(take_champion(folder))
    removed = checkout.prune(settings().root, folder, workspace.keep)
    (folder / "run.json").write_text(json.dumps({"commit": commit, "run_id": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID")}))
    return Report(
        read={"raw files": links},
        wrote={"workspaces": 1},
        dropped={"old workspaces": removed},
        notes=[f"workspace {folder}", f"git commit {commit}", *notes],
        result={"workspace": str(folder), "each_model": [{"MODEL": name} for name in values["models"]]},
    )


def take_champion(folder: Path) -> str:
    """The champion's package into the workspace, its vocabulary as the one to go on with; returns what to tell of it.

    One that cannot be trusted or read does not end the run: it is written down, the gate refuses, the vocabulary begins anew.
    """
    place = folder / paths.TRAIN / "champion"
    champion = registry.resolve("champion")
    if champion is None:
        return "no champion yet: the vocabulary begins anew"
    try:
        registry.fetch(champion, place)
        (place / VOCABULARY).rename(folder / paths.KNOWN)
    except DataError as error:
        why = f"{error.what} ({error.where})"
        for left in (place, place.with_name(f"{place.name}.pulled")):
            shutil.rmtree(left, ignore_errors=True)
        place.mkdir(parents=True)
        told = {"model": champion.model, "version": champion.version, "why": why}
        (place / paths.UNREADABLE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        (place / registry.VERSION_FILE).write_text(json.dumps({"model": champion.model, "version": champion.version}) + "\n")
        return (
            f"version {champion.version}, the champion, cannot be read: {why}; the vocabulary begins anew, the gate will refuse"
        )
    return f"champion: version {champion.version}"


def variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ParamsError(f"the environment variable {name} is not set", "python -m pipelines workspace", "run it from Airflow")
    return value
