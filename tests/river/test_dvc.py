"""DVC skips what has not changed, in the same workspace and in another one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import stage
from pipelines.stores.settings import ROOT, settings
from pipelines.workspace import checkout
from tests.river.conftest import SMALL, run, write

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone of the project whose runs share one DVC cache."""
    home = tmp_path_factory.mktemp("dvc")
    project = home / "project"
    subprocess.run(("git", "clone", "-q", str(ROOT), str(project)), check=True)
    for file in subprocess.check_output(("git", "-C", str(ROOT), "diff", "--name-only", "HEAD"), text=True).split():
        (project / file).write_bytes((ROOT / file).read_bytes())
    for key in ("user.name", "user.email"):
        subprocess.run(("git", "-C", str(project), "config", key, "test@example"), check=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("var", "mlruns"):
            patch.setenv(f"NEXTCLICK_{name.upper()}", str(home / name))
        patch.setenv("NEXTCLICK_MLFLOW_URI", "")
        patch.setenv("NEXTCLICK_VENV", str(settings().venv))
        settings.cache_clear()
        for name in ("first", "second"):
            checkout.make(project, home / "runs" / name)
            write(home / "runs" / name, **SMALL)
        yield home / "runs"
    settings.cache_clear()


TARGETS = ("events", "validate", "etl", "train@popularity", "evaluate@popularity")


def repro(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What DVC did with each target: ran, restored or skipped."""
    monkeypatch.chdir(folder)
    done = {}
    for target in TARGETS:
        assert run("repro", target) == stage.DONE
        said = capsys.readouterr()
        done[target] = next(word for word in ("skipped", "restored", "ran") if f"note    {word}" in said.err)
    return done


def test_run_then_skip_then_restore(runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(repro(runs / "first", capsys, monkeypatch).values()) == {"ran"}
    assert set(repro(runs / "first", capsys, monkeypatch).values()) == {"skipped"}
    assert set(repro(runs / "second", capsys, monkeypatch).values()) == {"restored"}
    write(runs / "second", **SMALL, **{"evaluate.cold_below": 7})
    changed = repro(runs / "second", capsys, monkeypatch)
    assert [target for target, what in changed.items() if what == "ran"] == ["evaluate@popularity"]
