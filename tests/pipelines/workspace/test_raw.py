from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.workspace import raw


def test_a_file_a_folder_and_a_wildcard(tmp_path: Path) -> None:
    for name in ("a.csv", "sub/b.csv", "sub/c.csv", "other.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found = raw.find("a.csv sub oth*.csv", tmp_path)
    assert [file.name for file in found] == ["a.csv", "b.csv", "c.csv", "other.csv"]
    assert raw.link(found, tmp_path / "run" / "raw") == 4
    assert (tmp_path / "run" / "raw" / "b.csv").read_text() == "sub/b.csv"


def test_nothing_there_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no raw file at 'nix\.csv'") as raised:
        raw.find("nix.csv", tmp_path)
    assert "workspace.raw" in raised.value.where


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("x/day.csv", "y/day.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    with pytest.raises(DataError, match=r"two raw files are named day\.csv"):
        raw.link(raw.find("x y", tmp_path), tmp_path / "raw")


def test_without_a_name_the_files_of_data_raw(tmp_path: Path) -> None:
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "data/raw/README.md").write_text("no data")
    assert raw.find(None, tmp_path) == []
    (tmp_path / "data/raw/day.csv").write_text("x")
    assert [file.name for file in raw.find(None, tmp_path)] == ["day.csv"]
