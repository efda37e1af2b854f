"""The ETL benchmark runs, compares outputs, and ends with its line of JSON; its figures are no promise of this test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_ours_and_the_scripts_make_the_same_columns(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/etl.py", "--events", "20000", "--repeat", "1", "--folder", str(tmp_path)]
    done = subprocess.run(
        [*command, "--peers", "polars_script", "pandas_flat"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *_, left_out, last = done.stdout.strip().splitlines()
    assert "ours and polars_script: the same" in done.stdout
    assert "ours and pandas_flat: the same" in done.stdout
    assert left_out == "left out: nvtabular_graph"
    assert {"cpu_vs_polars", "cpu_vs_pandas_flat"} <= json.loads(last)["ratios"].keys()
