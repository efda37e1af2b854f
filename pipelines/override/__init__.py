"""override: somebody lets a version pass that the gate refused, or judged against another champion. By name, and logged.

    python -m pipelines override VERSION "REASON"

in   MLflow: the version's tags; environment: NEXTCLICK_ACTOR, who it is (else the operating system's user)
out  MLflow: tags override.by, override.at, override.why, override.rules (what the gate refused), a line on the version's page
     var/promotions/overrides.log: the same as a line of JSON

It publishes nothing: promote does, and checks everything else. The next verdict of the gate on this version removes it.
"""

from pipelines.stage import Report


def run(version: str, reason: str) -> Report:
    from pipelines.override.work import work

    return work(version, reason)
