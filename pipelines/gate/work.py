"""The action itself: gather the evidence, ask the rules, write the decision down here and in the registry."""

from __future__ import annotations

import json
import math
import shutil
from typing import Any

from pipelines import params
from pipelines.gate import changes, decision, plots
from pipelines.gate.evidence import Comparison, Verdict
from pipelines.gate.gather import gather, read
from pipelines.gate.params import GateParams
from pipelines.gate.rules import RULES
from pipelines.paths import GATE, REGISTER
from pipelines.stage import Report
from pipelines.stores import manifest, permission, registry

PICTURE = "intervals.png"


def work(gate: GateParams) -> Report:
    """See the package's docstring."""
    made = read(REGISTER / "version.json", "run register first (python -m pipelines register)")
    champion = registry.resolve(registry.CHAMPION)
    evidence = gather(gate, made, champion, params.read()["models"])
    verdicts = {rule.__name__: rule(evidence, gate) for rule in RULES}
    verdict = "yes" if all(one.passed for one in verdicts.values()) else "no"
    changed = changes.since() if champion else None
    line = decision.summary(evidence, verdicts, made["version"])
    body = decision.table(evidence, verdicts)
    told = decision.told(changed, evidence.champion)
    found = {
        "verdict": verdict,
        "summary": line,
        "model": made["model"],
        "version": made["version"],
        "challenger": made["name"],
        "champion": evidence.champion,
        **decision.record(evidence, verdicts, changed),
        "thresholds": gate.model_dump(mode="json"),
    }
    shutil.rmtree(GATE, ignore_errors=True)
    GATE.mkdir(parents=True)
    if isinstance(evidence.comparison, Comparison) and evidence.champion is not None:
        plots.intervals(evidence.comparison, gate, evidence.champion, GATE / PICTURE)
    (GATE / "decision.json").write_text(json.dumps(finite(found), indent=2) + "\n", encoding="utf-8")
    picture = PICTURE if (GATE / PICTURE).exists() else None
    (GATE / "decision.md").write_text(decision.markdown(line, body, told, picture, made["mlflow_url"]), encoding="utf-8")
    tell(made, verdicts, (line, body, told), str(evidence.champion or "none"), asked=gate.review == "manual")
    for name, one in verdicts.items():
        print(f"  {'yes' if one.passed else 'NO ':3} {name}: {one.reason}", flush=True)
    return Report(
        read={"models": len(evidence.metrics), "rules": len(verdicts)},
        wrote={"decisions": 1},
        notes=[line],
        result={
            "verdict": verdict,
            "subject": f"{made['model']} version {made['version']} ({made['name']})",
            "summary": line,
            "table": body,
            "links": {"MLflow version": made["mlflow_url"]},
        },
        refused=verdict == "no",
    )


def tell(made: dict[str, Any], verdicts: dict[str, Verdict], text: tuple[str, str, str], champion: str, asked: bool) -> None:
    """The decision on the version's page, in its tags, and as artifacts of its run. An override of an earlier one is over.

    asked: whether a person is to be asked; the version is barred until that has ended. gate.verdict comes last: who finds it
    finds the others.
    """
    version = registry.get(made["version"])
    registry.attach(version.run_id, GATE, f"gate/version-{version.version}")
    card = version.description.rpartition(decision.CARD)[2]
    registry.describe(version.version, decision.page(card, *text))
    refused = ", ".join(name for name, one in verdicts.items() if not one.passed)
    earlier = (*registry.OVERRIDE, "gate.verdict", *(() if refused else ("gate.refused",)))
    registry.untag(version.version, [key for key in earlier if key in version.tags])
    tags = {"gate.decision_sha256": manifest.sha256(GATE / "decision.json"), "gate.champion": champion}
    if refused:
        tags["gate.refused"] = refused
    elif asked:
        tags["review.answer"] = permission.OPEN
    registry.tag(version.version, {**tags, "gate.verdict": "no" if refused else "yes"})


def finite(value: Any) -> Any:
    """JSON knows no infinity: it is written as text."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
