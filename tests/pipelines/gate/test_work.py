"""The action as it is called: exit code, files, tags, description, artifacts; and a champion that cannot be read any more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines import stage
from pipelines.errors import DataError
from pipelines.stores import manifest, permission, registry
from pipelines.stores.settings import settings
from pipelines.workspace.work import take_champion
from tests.pipelines.gate.conftest import MADE, REHEARSAL

SERVED = {"p50_ms": 2.0, "p95_ms": 4.0, "memory_mb": 90.0, "why_no_memory": None, "why": None}


def registered(key: str) -> int:
    """A version whose package is the trained gru4rec with its vocabulary; data/register says that it was made just now."""
    package = Path("data/register/package")
    shutil.rmtree(package)
    shutil.copytree("data/train/gru4rec", package)
    shutil.copy("data/etl/vocabulary.parquet", package)
    shutil.copy("params.yaml", package)
    (package / "data.json").write_text(json.dumps({"version": key}))
    manifest.write(package)
    run_id = json.loads(Path("data/train/gru4rec/run.json").read_text())["mlflow_run_id"]
    version = registry.register(package, run_id, "# the card", {"model": "gru4rec"}, key).version
    champion = registry.resolve(registry.CHAMPION)
    beside = {**SERVED, "version": champion.version} if champion else None
    made = {**MADE, "version": version, "run_id": run_id, "rehearsal": {**REHEARSAL, "champion": beside}}
    Path("data/register/version.json").write_text(json.dumps(made))
    return version


def artifacts(version: int) -> set[str]:
    client = MlflowClient(tracking_uri=settings().tracking_uri)
    return {Path(file.path).name for file in client.list_artifacts(registry.get(version).run_id, f"gate/version-{version}")}


def decided() -> dict[str, object]:
    found: dict[str, object] = json.loads(Path("data/gate/decision.json").read_text())
    return found


@pytest.fixture
def champion(run: Path) -> int:
    """A first version passed, and is champion; a second one is registered and both were scored."""
    first = registered("one")
    assert stage.main(["gate"]) == stage.DONE
    registry.move(registry.CHAMPION, first)
    Path("data/vocabulary").mkdir()
    assert take_champion(run) == f"champion: version {first}"
    shutil.rmtree("data/evaluate/champion")
    shutil.copytree("data/evaluate/gru4rec", "data/evaluate/champion")
    registered("two")
    return first


def test_a_first_version_is_judged_by_the_floors(run: Path) -> None:
    version = registered("one")
    assert stage.main(["gate"]) == stage.DONE
    found = registry.get(version)
    assert (found.tags["gate.verdict"], found.tags["gate.champion"]) == ("yes", "none")
    assert "gate.refused" not in found.tags
    assert found.tags["gate.decision_sha256"] == manifest.sha256(Path("data/gate/decision.json"))
    assert found.description.startswith("# Decision\n\nversion 1 (gru4rec), no champion yet: yes")
    assert found.description.endswith("\n\n---\n\n# the card")
    assert stage.main(["gate"]) == stage.DONE
    assert registry.get(version).description == found.description
    assert artifacts(version) == {"decision.json", "decision.md"}


def test_a_second_one_is_judged_against_the_champion(champion: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage.main(["gate"]) == stage.DONE
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "| worst slices, MRR@20 |" in report["result"]["table"]
    version = champion + 1
    assert registry.get(version).tags["gate.champion"] == str(champion)
    assert artifacts(version) == {"decision.json", "decision.md", "intervals.png"}
    assert decided()["changes"] == {"params": {}, "data": {"version": ["one", "two"]}, "why": None}
    assert "- `version`: one → two" in Path("data/gate/decision.md").read_text()
    assert "![The difference to the champion, whole and by slice](intervals.png)" in Path("data/gate/decision.md").read_text()


def test_a_no_names_its_rules_and_a_later_yes_forgets_them(champion: int) -> None:
    path = Path("data/evaluate/gru4rec/metrics.json")
    good = path.read_text()
    path.write_text(json.dumps({**json.loads(good), "gini_at_20": 0.99, "unseen_share": 0.9}))
    registry.tag(champion + 1, dict.fromkeys(registry.OVERRIDE, "earlier"))
    assert stage.main(["gate"]) == stage.REFUSED
    tags = registry.get(champion + 1).tags
    assert (tags["gate.verdict"], tags["gate.refused"]) == ("no", "shows_items_evenly, knows_the_items")
    assert not set(registry.OVERRIDE) & set(tags)
    assert decided()["verdict"] == "no"
    path.write_text(good)
    assert stage.main(["gate"]) == stage.DONE
    assert "gate.refused" not in registry.get(champion + 1).tags


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_champion_that_cannot_be_read_ends_in_a_no_that_says_why(champion: int, run: Path, damage: str) -> None:
    """From the workspace through the evaluation to the gate: nothing fails, nobody passes."""
    (home,) = settings().artifacts.rglob(registry.get(champion).source.removeprefix("models:/"))
    if damage == "changed":
        (home / "artifacts" / "weights.safetensors").write_bytes(b"something else")
    else:
        shutil.rmtree(home / "artifacts")
    Path("data/vocabulary/known.parquet").unlink()
    said = take_champion(run)
    assert f"version {champion}, the champion, cannot be read" in said
    assert not Path("data/vocabulary/known.parquet").exists()
    assert [path.name for path in Path("data/train").glob("champion*")] == ["champion"]
    assert stage.main(["evaluate", "champion"]) == stage.DONE
    assert stage.main(["gate"]) == stage.REFUSED
    tags = registry.get(champion + 1).tags
    assert tags["gate.champion"] == str(champion)
    assert {"holds_against_champion", "no_slice_worse", "shows_many_items"} <= set(tags["gate.refused"].split(", "))
    why = {"changed": "weights.safetensors is not what was registered", "gone": "the version's files are gone"}[damage]
    reasons = {rule["rule"]: rule["reason"] for rule in decided()["rules"]}  # type: ignore[attr-defined]
    assert why in reasons["holds_against_champion"]
    assert artifacts(champion + 1) == {"decision.json", "decision.md"}


def test_mlflow_being_down_is_an_error_and_no_unreadable_champion(
    champion: int, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.errors import ServiceError

    monkeypatch.setenv("NEXTCLICK_MLFLOW_URI", "http://127.0.0.1:1")
    settings.cache_clear()
    with pytest.raises(ServiceError, match="MLflow does not answer"):
        take_champion(run)


def test_with_a_manual_review_a_version_is_barred_until_somebody_answers(run: Path) -> None:
    version = registered("one")
    path = Path("params.yaml")
    path.write_text(path.read_text().replace("review: auto", "review: manual"))
    assert stage.main(["gate"]) == stage.DONE
    with pytest.raises(DataError, match="its review is not answered yet"):
        permission.allowed(registry.get(version), None)
