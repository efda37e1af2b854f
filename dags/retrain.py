"""retrain: raw click events become the model that Triton serves."""

from datetime import timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable, chain

import form
from tasks import ROOT, action, review, stage, stages

with DAG(
    dag_id="retrain",
    description="raw events > validate > etl > train > evaluate > register > gate > review > promote",
    # no start date and no delay: unpausing runs nothing that is past
    schedule=CronTriggerTimetable("0 5 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    params=form.params(),
    tags=["nextclick"],
    doc_md=__doc__,
):
    workspace = action("workspace", cwd=ROOT, env={"OVERRIDES": "{{ params | tojson }}"}, entry="each_model")
    etl = stage("etl")
    gate = action("gate")

    chain(
        workspace,
        stage("events"),
        stage("validate"),
        etl,
        stages("train", pool="gpu").expand(env=workspace.output),
        stages("evaluate", pool="gpu").expand(env=workspace.output),
        action("register"),
        gate,  # exits 99 on "no": the rest is skipped, the champion stays
        *review(),  # the same: an answer that is no approval ends it here
        action("promote", outlets=[Asset("champion")]),
    )
    chain(etl, action("evaluate", "champion", pool="gpu"), gate)
