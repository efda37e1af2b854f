"""gate: may the challenger become champion? Each rule gives a verdict and a reason; one "no" is enough.

in   data/register/version.json, data/evaluate/<model>, data/evaluate/champion, data/train/champion/version.json
     params.yaml: gate, models
     MLflow: which version is champion now
out  data/gate/decision.json, decision.md
     MLflow: tags gate.verdict and gate.decision_sha256, the decision in the version's description and in the run's artifacts
exit 99 on "no": the champion stays
"""

from pipelines.gate.params import GateParams
from pipelines.stage import Report


def run(gate: GateParams) -> Report:
    from pipelines.gate.work import work

    return work(gate)
