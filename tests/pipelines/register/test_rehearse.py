"""The rehearsal: in turns with the champion, in the real Triton; what cannot be measured is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from infra.local import triton
from pipelines.register import rehearse
from pipelines.register.rehearse import as_known, memory
from pipelines.stores import registry, repository
from pipelines.stores.answers import BLANKS, INPUT, TIMES, Graph, fit
from pipelines.stores.settings import Settings, settings
from pipelines.stores.triton import Server
from tests.pipelines import publishing


def test_another_version_is_asked_with_what_it_knows() -> None:
    sessions = {INPUT: np.array([[5, 6, 7, -1]]), "strange": np.array([[1]])}
    found = as_known(sessions, {INPUT: 3, TIMES: 2})
    assert {name: values.tolist() for name, values in found.items()} == {INPUT: [[5, 6, 7]], TIMES: [[BLANKS[TIMES]] * 2]}
    assert as_known(sessions, {INPUT: 6})[INPUT].tolist() == [[5, 6, 7, -1, -1, -1]]


def test_memory_is_that_of_the_process_that_names_the_models_folder(tmp_path: Path) -> None:
    ballast = "import sys; held = bytearray(200_000_000); print('there', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", ballast, f"{tmp_path}/model/1/model.onnx"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        found, why = memory(tmp_path / "model")
        other, said = memory(tmp_path / "mod")
        process.communicate()
    assert found is not None
    assert 200 < found < 300
    assert why is None
    assert other is None
    assert said
    assert "no process here names mod" in said


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with triton.temporary(tmp_path_factory.mktemp("platform")) as found, publishing.connected(found):
        yield found


@pytest.mark.services
def test_two_versions_are_rehearsed_side_by_side(platform: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = publishing.registered(tmp_path / "one", monkeypatch, seed=1).result["version"]
    made = json.loads(Path("data/register/version.json").read_text())["rehearsal"]
    assert made["champion"] is None
    assert made["memory_mb"] > 20
    assert made["why_no_memory"] is None
    registry.move(registry.CHAMPION, first)
    publishing.registered(tmp_path / "two", monkeypatch, seed=2)
    made = json.loads(Path("data/register/version.json").read_text())
    beside = made["rehearsal"]["champion"]
    assert beside["version"] == first
    assert beside["p95_ms"] >= beside["p50_ms"] > 0
    assert beside["memory_mb"] > 20
    assert (beside["why"], beside["why_no_memory"]) == (None, None)
    tags = registry.get(made["version"]).tags
    assert float(tags["rehearsal.champion.p95_ms"]) == beside["p95_ms"]
    name = settings().model_name
    assert [Server().versions(f"{name}_{one}") for one in ("rehearsal", "rehearsal_champion")] == [[], []]
    assert not any(repository.home(f"{name}_{one}").exists() for one in ("rehearsal", "rehearsal_champion"))

    # a champion that cannot be pulled, and one that Triton cannot load, keep nobody from being measured
    package = Path("data/register/package")
    request = fit({INPUT: np.array([[1, 8, 15, -1, -1, -1, -1, -1]])}, Graph(package / "model.onnx").widths)
    model = publishing.artifact(first, "model.onnx")
    model.write_bytes(b"no graph")
    found = rehearse.rehearse(package, request, 20, tmp_path / "pulled")
    assert found.p95_ms is not None
    assert found.champion is not None
    assert found.champion.version == first
    assert "model.onnx is not what was registered" in str(found.champion.why)
    (broken := tmp_path / "broken").mkdir()
    for file in ("model.onnx", "config.pbtxt"):
        (broken / file).write_bytes(b"no graph" if file == "model.onnx" else (package / file).read_bytes())
    monkeypatch.setattr(rehearse, "pulled", lambda folder: rehearse.Champion(version=first))
    found = rehearse.rehearse(package, request, 20, broken)
    assert found.p95_ms is not None
    assert found.champion is not None
    assert found.champion.p95_ms is None
    assert "Triton cannot load" in str(found.champion.why)
