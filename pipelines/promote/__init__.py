"""promote: a version that the gate let pass becomes the champion, and Triton serves it.

    python -m pipelines promote [VERSION]

in   data/register/version.json, unless a version is named
     params.yaml: promote
     MLflow: the version's package, its hashes, its verdict (gate.*), review (review.*) and override (override.*)
out  Triton serves the version; aliases: champion -> it, previous -> the old champion; tag promoted_at
     var/promotions/: what was done, step by step

Nothing is served that is not, byte for byte, what was registered. Whatever fails, the champion goes on serving; whatever
was killed, the next run finishes or undoes first.
"""

from pipelines.promote.params import PromoteParams
from pipelines.stage import Report


def run(promote: PromoteParams, version: str = "") -> Report:
    from pipelines.promote.work import work

    return work(promote, version)
