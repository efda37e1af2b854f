"""What a version was made of."""

from __future__ import annotations

import os

import polars as pl

from pipelines.paths import ETL, LOCK, PARAMS
from pipelines.stores import manifest, sessions, tracking

RUN_ID = "AIRFLOW_CTX_DAG_RUN_ID"
SUMMARY = ("rows", "dropped", "split_by", "sessions", "events", "num_items", "new_items", "test_events", "unseen_test_events")


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


def data_summary() -> dict[str, object]:
    """What the version was trained and tested on, in a few figures: the next gate says what has changed."""
    first, last = days()
    summary = sessions.read_json(ETL / "summary.json")
    return {"first_day": first, "last_day": last, **{key: summary[key] for key in SUMMARY if key in summary}}
