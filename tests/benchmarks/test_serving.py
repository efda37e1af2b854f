"""The benchmark runs, in small, and ends with the line that others read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"requests_per_s", "p50_ms", "p95_ms", "p99_ms", "requests", "load_cpu_s_per_1000", "server_cpu_s_per_1000"}


@pytest.mark.services
@pytest.mark.slow
def test_a_small_run_measures_every_server(tmp_path: Path) -> None:
    words = ["--items", "500", "--models", "gru4rec", "--clients", "1", "4", "--seconds", "0.4", "--folder", str(tmp_path)]
    said = subprocess.run(
        [sys.executable, "benchmarks/serving.py", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
    )
    assert said.returncode == 0, said.stderr[-3000:]
    left_out, line = said.stdout.splitlines()[-2:]
    found = json.loads(line)
    assert found["benchmark"] == "serving"
    rows = found["figures"]["500"]["gru4rec"]
    assert {"Triton, grpc", "Triton, http"} <= rows.keys()
    for clients in rows.values():
        assert clients.keys() == {"1", "4"}
        for row in clients.values():
            assert row.keys() == KEYS
            assert row["requests"] > 10
            assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
            assert row["server_cpu_s_per_1000"] > 0
    assert left_out.startswith("left out: ")
    if "FastAPI" not in left_out:
        assert {"FastAPI, 1 worker"} <= rows.keys()
        assert found["ratios"].keys() == {"requests_per_s_vs_fastapi", "cpu_per_request_vs_fastapi"}
