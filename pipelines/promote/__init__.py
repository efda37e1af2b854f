"""promote: the version that the gate let pass becomes the champion, and Triton serves it.

in   data/register/version.json (or promote.version), environment: REVIEW (the reviewer's answer, JSON)
     params.yaml: promote
     MLflow: the version's package, its hashes, its gate.verdict
out  Triton serves the version; aliases: champion -> it, previous -> the old champion; tags: who approved, when it was promoted

Nothing is served that is not, byte for byte, what was registered. Whatever fails, the champion goes on serving; whatever
was killed, the next run repairs first.
"""

from pipelines.promote.params import PromoteParams
from pipelines.stage import Report


def run(promote: PromoteParams) -> Report:
    from pipelines.promote.work import work

    return work(promote)
