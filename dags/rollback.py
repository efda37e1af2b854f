"""rollback: the previous model serves again. One click, no training."""

from airflow.sdk import DAG, Asset

from tasks import ROOT, action

with DAG(
    dag_id="rollback",
    description="back to the previous champion",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["nextclick"],
    doc_md=__doc__,
):
    action("rollback", cwd=ROOT, outlets=[Asset("champion")])
