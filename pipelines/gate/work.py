"""The action itself: gather the evidence, ask the rules, write the decision down here and in the registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipelines import params
from pipelines.errors import DataError
from pipelines.gate import decision, interval
from pipelines.gate.params import GateParams
from pipelines.gate.rules import RULES, Evidence
from pipelines.paths import EVALUATE, GATE, REGISTER, TRAIN
from pipelines.stage import Report
from pipelines.stores import manifest, registry
from pipelines.stores.registry import Version

CHAMPION = "champion"
KEYS = ("session", "position")


def work(gate: GateParams) -> Report:
    """See the package's docstring."""
    made = read(REGISTER / "version.json", "run register first (python -m pipelines register)")
    champion = registry.resolve(registry.CHAMPION)
    metrics = measured(params.read()["models"])
    evidence = gather(gate, made, champion, metrics)
    verdicts = {rule.__name__: rule(evidence, gate) for rule in RULES}
    verdict = "yes" if all(one.passed for one in verdicts.values()) else "no"
    line = decision.summary(evidence, verdicts, made["version"])
    body = decision.table(verdicts, metrics, made["name"])
    found = evidence.difference
    record = {
        "verdict": verdict,
        "summary": line,
        "model": made["model"],
        "version": made["version"],
        "challenger": made["name"],
        "champion": champion.version if champion else None,
        "difference": {"mean": found.mean, "lower": found.lower, "sessions": found.sessions} if found else None,
        "rules": [{"rule": name, "passed": one.passed, "reason": one.reason} for name, one in verdicts.items()],
        "metrics": metrics,
        "thresholds": gate.model_dump(mode="json"),
    }
    shutil.rmtree(GATE, ignore_errors=True)
    GATE.mkdir(parents=True)
    (GATE / "decision.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (GATE / "decision.md").write_text(decision.markdown(line, body, made["mlflow_url"]), encoding="utf-8")
    tell(made, verdict, line, body, str(champion.version) if champion else "none")
    for name, one in verdicts.items():
        print(f"  {'yes' if one.passed else 'NO ':3} {name}: {one.reason}", flush=True)
    return Report(
        read={"models": len(metrics), "rules": len(verdicts)},
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


def gather(gate: GateParams, made: dict[str, Any], champion: Version | None, metrics: dict[str, dict[str, Any]]) -> Evidence:
    """What the rules may know; what cannot be known is None, with the reason beside it."""
    difference, why = None, None
    if champion is not None:
        why = unmeasured(champion)
        if why is None:
            difference = against_champion(gate, made["name"])
    rehearsal = made["rehearsal"]
    return Evidence(
        challenger=made["name"],
        mrr={name: float(values["mrr_at_20"]) for name, values in metrics.items()},
        champion=champion.version if champion else None,
        difference=difference,
        why_no_difference=why,
        p95_ms=rehearsal["p95_ms"],
        parity_sessions=rehearsal["parity_sessions"],
        parity_wrong=rehearsal["parity_wrong"],
        why_no_rehearsal=rehearsal["why"],
    )


def unmeasured(champion: Version) -> str | None:
    """Why the ranks in data/evaluate/champion are not those of the champion of this moment; None if they are."""
    if not (EVALUATE / CHAMPION / "ranks.parquet").exists():
        return "data/evaluate/champion has no ranks (python -m pipelines evaluate champion)"
    pulled = TRAIN / CHAMPION / registry.VERSION_FILE
    scored = json.loads(pulled.read_text(encoding="utf-8")).get("version") if pulled.exists() else None
    if scored != champion.version:
        return f"the ranks are those of version {scored}: the champion changed during the run; start a new run"
    return None


def against_champion(gate: GateParams, name: str) -> interval.Difference:
    """DataError if the two did not answer the same predictions."""
    ours, theirs = (pl.read_parquet(EVALUATE / model / "ranks.parquet").sort(KEYS) for model in (name, CHAMPION))
    same = ours.select(*KEYS, "target").equals(theirs.select(*KEYS, "target"))
    if not same:
        where = f"{EVALUATE / name}: {len(ours):,} predictions, {EVALUATE / CHAMPION}: {len(theirs):,}"
        raise DataError(
            "challenger and champion were not asked the same predictions", where, "python -m pipelines evaluate champion"
        )
    challenger, champion = (interval.reciprocal(frame["rank"].to_numpy()) for frame in (ours, theirs))
    sessions = ours["session"].to_numpy().astype(np.int64)
    return interval.paired(sessions, challenger, champion, gate.confidence, gate.resamples)


def measured(models: list[str]) -> dict[str, dict[str, Any]]:
    """Metrics of each model and of the champion that have been measured."""
    found = {}
    for name in (*models, CHAMPION):
        path = EVALUATE / name / "metrics.json"
        values = read(path, f"dvc repro evaluate@{name}") if path.exists() else {"absent": True}
        if not values.get("absent"):
            found[name] = values
    return found


def tell(made: dict[str, Any], verdict: str, line: str, body: str, champion: str) -> None:
    """The decision on the version's page, in its tags, and as artifacts of its run. An override of an earlier one is over."""
    version = registry.get(made["version"])
    registry.attach(version.run_id, GATE, f"gate/version-{version.version}")
    card = version.description.partition("\n\n# Decision\n")[0]
    registry.describe(version.version, f"{card}\n\n# Decision\n\n{line}\n\n{body}\n")
    digest = manifest.sha256(GATE / "decision.json")
    registry.untag(version.version, [key for key in registry.OVERRIDE if key in version.tags])
    registry.tag(version.version, {"gate.decision_sha256": digest, "gate.champion": champion, "gate.verdict": verdict})


def read(path: Path, next_step: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read", f"{path}: {error}", next_step) from None
    return found
