"""Set-up: what it refuses, what it says, and that it goes on where it stopped. Nothing is installed here."""

from __future__ import annotations

import re
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from infra.local import setup
from infra.local.setup import Part, SetupError

Usage = namedtuple("Usage", "total used free")


def command(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def fail_with(text: str) -> tuple[str, ...]:
    return command(f"import sys; print({text!r}, file=sys.stderr); sys.exit(2)")


def run(part: Part, folder: Path) -> None:
    setup.install_part(part, "[1/1]", folder / "setup.log")


def test_another_python_is_refused_with_the_version_that_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "PYTHON", (3, 10))
    with pytest.raises(SetupError) as error:
        setup.check_machine(tmp_path, "cpu")
    assert error.value.args[0].startswith("nextclick needs Python 3.10, this is 3.11")
    assert "make setup PYTHON=" in error.value.args[2]


def test_a_full_disk_is_found_before_anything_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10 * 2**30, 9 * 2**30, 2**30))
    with pytest.raises(SetupError, match=r"not enough disk space: 1\.0 GiB free, 6 GiB needed"):
        setup.check_machine(tmp_path, "cpu")


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "git" else f"/usr/bin/{name}")
    with pytest.raises(SetupError, match="git is not installed"):
        setup.check_machine(tmp_path, "cpu")


def test_a_python_without_its_shared_library_is_found_at_set_up() -> None:
    with pytest.raises(SetupError, match=r"this Python has no shared library libpython9\.9\.so\.1\.0"):
        setup.check_shared_library("libpython9.9.so.1.0")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match="the folder for local state cannot be made"):
        setup.check_machine(tmp_path / "file" / "var", "cpu")


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("error: failed to write: No space left on device (os error 28)", "free disk space"),
        ("error sending request for url: dns error: failed to lookup address", "no network"),
        ("NewConnectionError: Failed to establish a new connection", "no network"),
        ("No solution found when resolving dependencies", "the registry lacks a pinned version"),
        ("ensurepip is not available", "apt install python3.11-venv"),
        ("something never seen before", "setup.log"),
    ],
)
def test_a_failed_step_says_what_the_installer_said_and_what_to_do(tmp_path: Path, said: str, advice: str) -> None:
    part = Part("part", tmp_path, (), (fail_with(said),))
    with pytest.raises(SetupError) as error:
        run(part, tmp_path)
    assert said in error.value.args[1]
    assert advice in error.value.args[2]


def test_an_interrupted_set_up_does_the_rest_and_only_the_rest(tmp_path: Path) -> None:
    done, count = tmp_path / "done", f"open(r'{tmp_path / 'count'}', 'a').write('x')"
    first = Part("first", tmp_path / "first", (), (command(count),))
    (tmp_path / "first").mkdir()
    run(first, tmp_path)
    second = Part("second", tmp_path, (), (command(f"import os, sys; sys.exit(not os.path.exists(r'{done}'))"),))
    with pytest.raises(SetupError):
        run(second, tmp_path)
    done.touch()
    run(first, tmp_path)
    run(second, tmp_path)
    assert (tmp_path / "count").read_text() == "x"
    assert (tmp_path / ".stamp").read_text() == second.stamp()


def test_changed_requirements_are_installed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "REQUIREMENTS", tmp_path)
    (tmp_path / "a.txt").write_text("a==1")
    part = Part("part", tmp_path, ("a.txt",), (command(f"open(r'{tmp_path / 'count'}', 'a').write('x')"),))
    run(part, tmp_path)
    run(part, tmp_path)
    (tmp_path / "a.txt").write_text("a==2")
    run(part, tmp_path)
    assert (tmp_path / "count").read_text() == "xx"


def test_everything_lies_under_var_wherever_that_is(tmp_path: Path) -> None:
    assert all(part.folder.is_relative_to(tmp_path / "elsewhere") for part in setup.parts(tmp_path / "elsewhere", "cpu"))


def test_an_error_is_three_lines_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXTCLICK_VAR", str(tmp_path))
    monkeypatch.setattr(setup, "PYTHON", (3, 10))
    monkeypatch.setattr(sys, "argv", ["setup.py"])
    assert setup.main() == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["SetupError:", "where", "next"]


def test_the_build_once_chosen_is_kept(tmp_path: Path) -> None:
    """`make demo` after `make setup DEVICE=cuda` must not bring the CPU build back."""
    kept = tmp_path / "device"
    assert [setup.choose_device(asked, kept) for asked in (None, "cuda", None, "cpu", None)] == [
        "cpu",
        "cuda",
        "cuda",
        "cpu",
        "cpu",
    ]


@pytest.mark.parametrize("name", sorted(path.name for path in setup.REQUIREMENTS.glob("*.txt")))
def test_every_requirement_is_exact_and_names_no_index(name: str) -> None:
    text = (setup.REQUIREMENTS / name).read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,-]+\])?==[^\s;]+(\s*;.*)?", line) for line in lines), lines
    assert "://" not in text
    assert "--index" not in text
