"""`python -m infra.local`: what a person sees who has nothing running, or types something else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def call(var: Path, *words: str, **changes: str) -> tuple[int, str]:
    env = {**os.environ, "NEXTCLICK_VAR": str(var), **changes}
    done = subprocess.run(
        [sys.executable, "-m", "infra.local", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("word", "exit_code", "said"),
    [
        ("status", 3, "the platform does not run: `make up` starts it\n"),
        ("down", 0, "nothing of the platform runs\n"),
        ("sideways", 1, "usage: python -m infra.local up|down|status|demo\n"),
    ],
)
def test_without_a_platform(tmp_path: Path, word: str, exit_code: int, said: str) -> None:
    assert call(tmp_path, word) == (exit_code, said)


def test_a_wrong_setting_is_named_without_a_traceback(tmp_path: Path) -> None:
    exit_code, said = call(tmp_path, "up", NEXTCLICK_MLFLOW_PORT="70000")
    assert exit_code == 1
    assert said.startswith("ParamsError: a platform setting is wrong\n  where  NEXTCLICK_MLFLOW_PORT = '70000'")


def test_up_before_set_up_says_so(tmp_path: Path) -> None:
    exit_code, said = call(tmp_path, "up", NEXTCLICK_VENV=str(tmp_path))
    assert exit_code == 1
    assert said.startswith("ServiceError: worker is not installed, or not wholly\n")
    assert "run `make setup`" in said


def test_another_mlflow_is_not_silently_replaced(tmp_path: Path) -> None:
    exit_code, said = call(tmp_path, "up", NEXTCLICK_MLFLOW_URI="http://elsewhere:5000")
    assert exit_code == 1
    assert said.startswith("ParamsError: the local platform runs an MLflow of its own\n")
