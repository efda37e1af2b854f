"""override: a version that the gate refused may be promoted all the same. Named, logged, and no promotion by itself.

Who triggers this run and the reason are kept in the registry and in var/promotions; then the DAG promote asks for a review
of the version, as of any other.
"""

from airflow.sdk import DAG, Param

import form
from tasks import ROOT, action

with DAG(
    dag_id="override",
    description="let a refused version be promoted, with a name and a reason",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "version": form.version(),
        "reason": Param(type="string", minLength=10, title="reason", description="Why the gate's no does not count this time."),
    },
    tags=["nextclick"],
    doc_md=__doc__,
):
    given = {"VERSION": "{{ params.version }}", "REASON": "{{ params.reason }}"}
    action("override", "$VERSION", "$REASON", cwd=ROOT, env=given)
