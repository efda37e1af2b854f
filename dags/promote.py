"""promote: a registered version, picked from the list, becomes what Triton serves: same checks, same path as in retrain.

A person is always asked: it may be a version that somebody rejected, or that an override let pass.

The list is written by `infra.watch`; a new version stands in it within a minute. One that the gate refused cannot be
promoted, whoever approves: see the DAG override.
"""

from airflow.sdk import DAG, Asset, chain

import form
from tasks import ROOT, action, review

VERSION = {"VERSION": "{{ params.version }}"}

with DAG(
    dag_id="promote",
    description="a registered version > review > Triton",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={"version": form.version(), **form.only("review.hours")},
    tags=["nextclick"],
    doc_md=__doc__,
):
    chain(
        *review("$VERSION", always=True, cwd=ROOT, env=VERSION),
        action("promote", "$VERSION", cwd=ROOT, env=VERSION, outlets=[Asset("champion")]),
    )
