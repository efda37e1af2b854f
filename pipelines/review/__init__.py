"""review: a person has the last word before a version serves: asked in Airflow, answered there or in MLflow.

    python -m pipelines review open [VERSION]     says on the version's page that an answer is awaited, and how to give it
    python -m pipelines review close [VERSION]    writes down who answered, when and why; exit 99 if it was not approved

in   data/register/version.json, or the version named
     environment, for close: ANSWER, what Airflow's approval was answered with (JSON)
out  MLflow: tags of the version. `review` is where a person answers; `review.answer`, `.by`, `.at`, `.why` and `.side` are
     what counts; `review.how` says how to answer, `review.told` what an answer that did not count was told

The first answer counts, whichever side it comes from: Airflow keeps it, and what is said in MLflow is carried there by
`infra.watch`. A version that the gate refused is not asked about.
"""

from pipelines.review.params import ReviewParams
from pipelines.stage import Report


def run(review: ReviewParams, step: str, version: str = "") -> Report:
    from pipelines.review.work import work

    return work(review, step, version)
