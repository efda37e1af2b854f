"""repro: one stage of dvc.yaml in the current workspace, run by DVC, or skipped where nothing changed.

in   dvc.yaml, params.yaml, what the stage depends on
out  what the stage writes; DVC's cache keeps it, so that another run of the same inputs gets it without running
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from pipelines import params, paths, stage
from pipelines.errors import DataError, ParamsError, nearest
from pipelines.stage import Report

LOCK_WAIT_S = 120

RAN = "ran"
RESTORED = "restored from DVC's cache: another run had the same inputs, code and settings"
SKIPPED = "skipped: inputs, code and settings have not changed"


def run(target: str) -> Report:
    """Bring one stage (`etl`, `train@gru4rec`) up to date; the report is the stage's own if it ran."""
    with tempfile.TemporaryDirectory(prefix="nextclick-") as folder:
        report = Path(folder) / "report.json"
        os.environ[stage.REPORT] = str(report)
        try:
            changed = reproduce(target)
        finally:
            del os.environ[stage.REPORT]
        inner: dict[str, Any] = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    what = RAN if inner else RESTORED if changed else SKIPPED
    result = {**inner.get("result", {}), "target": target, "changed": what == RAN, "links": links(target)}
    return Report(inner.get("read", {}), inner.get("wrote", {}), inner.get("dropped", {}), [what], result)


def reproduce(target: str) -> bool:
    """True if DVC ran or restored the stage. The stage's own error has been printed when this one raises."""
    from dvc.exceptions import DvcException, ReproductionError
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.stage.exceptions import StageNotFound

    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            with Repo(".") as repo:
                return bool(repo.reproduce(targets=[target], single_item=True))
        except LockError:  # another stage of this workspace is being recorded
            if time.monotonic() > deadline:
                raise DataError("DVC's lock is held", str(Path.cwd()), "another dvc process runs in this workspace") from None
            time.sleep(1)
        except StageNotFound:
            names = [f"{one}@{model}" for one in ("train", "evaluate") for model in params.read()["models"]]
            known = nearest(target, ["events", "validate", "etl", *names])
            raise ParamsError(f"dvc.yaml has no stage {target!r}", "dvc.yaml", known) from None
        except ReproductionError as error:
            why = str(error.__cause__ or error)
            raise DataError(f"stage {target} failed: {why}", str(Path.cwd()), "read the error above") from None
        except DvcException as error:
            raise DataError(f"DVC could not run {target}: {error}", str(Path.cwd()), "dvc status shows what it sees") from None


def links(target: str) -> dict[str, str]:
    """Pages about what the stage made."""
    record = paths.TRAIN / target.partition("@")[2] / "run.json"
    if target.startswith(("train@", "evaluate@")) and record.is_file():
        url = json.loads(record.read_text(encoding="utf-8")).get("mlflow_url")
        return {"MLflow run": url} if url else {}
    return {}
