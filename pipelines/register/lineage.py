"""What a version was made of."""

from __future__ import annotations

import os

import polars as pl

from pipelines.paths import ETL, LOCK, PARAMS
from pipelines.stores import manifest, tracking

RUN_ID = "AIRFLOW_CTX_DAG_RUN_ID"


def tags(name: str) -> dict[str, str]:
    """Git commit, hashes of dvc.lock and params.yaml, first and last day of the data, Airflow's run where there is one."""
    first, last = days()
    found = {
        "model": name,
        "lineage.git_commit": tracking.lineage().get("mlflow.source.git.commit", ""),
        "lineage.dvc_lock_sha256": manifest.sha256(LOCK) if LOCK.exists() else "",
        "lineage.params_sha256": manifest.sha256(PARAMS),
        "lineage.data_days": f"{first}..{last}",
        "lineage.airflow_run_id": os.environ.get(RUN_ID, ""),
    }
    return {key: value for key, value in found.items() if value}


def days() -> tuple[str, str]:
    """First and last day on which a session began, UTC."""
    start = pl.read_parquet(ETL / "session_ids.parquet", columns=["start"])["start"]
    return str(start.min())[:10], str(start.max())[:10]
