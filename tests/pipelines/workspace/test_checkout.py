import subprocess
from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.workspace import checkout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("")
    (root / "code.py").write_text("one = 1\n")
    who = "git config user.name t && git config user.email t@t"
    subprocess.run(f"git init -q . && {who} && git add . && git commit -qm first", shell=True, cwd=root, check=True)
    return root


def test_a_run_has_the_committed_code(project: Path, tmp_path: Path) -> None:
    commit, notes = checkout.make(project, tmp_path / "runs" / "a")
    assert (tmp_path / "runs/a/code.py").read_text() == "one = 1\n"
    assert commit == checkout.git(project, "rev-parse", "HEAD")
    assert notes == []


def test_uncommitted_changes_come_along_as_a_commit_that_is_kept(project: Path, tmp_path: Path) -> None:
    (project / "code.py").write_text("one = 2\n")
    (project / "new.py").write_text("")
    commit, notes = checkout.make(project, tmp_path / "runs" / "a")
    assert (tmp_path / "runs/a/code.py").read_text() == "one = 2\n"
    assert (project / "code.py").read_text() == "one = 2\n"
    assert checkout.git(project, "rev-parse", "refs/nextclick/a") == commit != checkout.git(project, "rev-parse", "HEAD")
    assert "uncommitted changes" in notes[0]
    assert "new.py" in notes[1]


def test_making_it_again_begins_anew(project: Path, tmp_path: Path) -> None:
    checkout.make(project, tmp_path / "runs" / "a")
    (tmp_path / "runs/a/left-over").write_text("")
    checkout.make(project, tmp_path / "runs" / "a")
    assert not (tmp_path / "runs/a/left-over").exists()


def test_old_workspaces_go_the_current_one_stays(project: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        checkout.make(project, tmp_path / "runs" / name)
    assert checkout.prune(project, tmp_path / "runs" / "a", keep=2) == 1
    assert (tmp_path / "runs/a").exists()
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_project_without_git_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="git rev-parse failed"):
        checkout.make(tmp_path, tmp_path / "runs" / "a")
