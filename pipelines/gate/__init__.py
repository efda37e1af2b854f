"""gate: may the challenger become champion? Each rule gives a verdict and a reason; one "no" is enough.

in   data/register (version.json, package), data/evaluate/<model>, data/train/<model>, data/etl,
     data/evaluate/champion, data/train/champion
     params.yaml: gate, models
     MLflow: which version is champion now
out  data/gate/decision.json, decision.md, intervals.png (with a champion: the differences, whole and by slice)
     MLflow: tags gate.verdict, gate.refused (rules that said no), gate.champion (the version judged against, or none),
     gate.decision_sha256; the decision in the version's description and in the run's artifacts
exit 99 on "no": the champion stays
"""

from pipelines.gate.params import GateParams
from pipelines.stage import Report


def run(gate: GateParams) -> Report:
    from pipelines.gate.work import work

    return work(gate)
