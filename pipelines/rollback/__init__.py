"""rollback: the previous champion serves again. Nothing is trained, nothing is judged anew.

in   MLflow: the aliases champion and previous
out  Triton serves the previous version; the two aliases are swapped, so that a second rollback undoes the first
     (a task of Airflow that is tried again is not a second one)
"""

from pipelines.stage import Report


def run() -> Report:
    from pipelines.rollback.work import work

    return work()
