"""The session kNN benchmark: its arithmetic, and that it runs without the published code."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("NEXTCLICK_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("session_knn_benchmark", ROOT / "benchmarks" / "session_knn.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_ratio_is_the_least_over_the_sets(benchmark: ModuleType) -> None:
    def row(ours: float, theirs: float) -> dict[str, dict[str, float]]:
        return {
            "ours": {"predictions_per_s": ours, "predictions_per_cpu_s": ours / 2},
            "session_rec": {"predictions_per_s": theirs, "predictions_per_cpu_s": theirs},
        }

    figures = {"clicks": {"v_sknn": row(600, 20)}, "srgnn": {"v_sknn": row(500, 20)}}
    assert benchmark.ratios(figures) == {"predictions_per_s_vs_session_rec": 25, "predictions_per_cpu_s_vs_session_rec": 12.5}


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "yoochoose_clicks_100k").is_dir(), reason="yoochoose_clicks_100k is not in NEXTCLICK_DATA")
def test_it_runs_and_says_who_is_left_out(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/session_knn.py", "--sets", "clicks", "--sessions", "20", "--repeat", "1"]
    environment = {**os.environ, "NEXTCLICK_SESSION_REC": str(tmp_path)}
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    *_, left_out, last = done.stdout.strip().splitlines()
    assert left_out.startswith("left out: session_rec")
    found = json.loads(last)
    assert found["ratios"] == {}
    assert set(found["figures"]["clicks"]) == {"v_sknn", "vstan"}
