"""What was registered is what is served, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipelines.errors import DataError
from pipelines.stores import manifest


@pytest.fixture
def package(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    (tmp_path / "plots").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "plots" / "a.png").write_bytes(b"picture")
    return tmp_path, manifest.write(tmp_path)


def test_every_file_is_listed(package: tuple[Path, dict[str, str]]) -> None:
    folder, registered = package
    assert set(registered) == {"model.onnx", "plots/a.png", "manifest.json"}
    assert registered["model.onnx"] == hashlib.sha256(b"graph").hexdigest()
    manifest.check(folder, registered, "version 1")


def test_a_changed_file_is_named_with_both_hashes(package: tuple[Path, dict[str, str]]) -> None:
    folder, registered = package
    (folder / "model.onnx").write_bytes(b"grapf")
    with pytest.raises(DataError, match=r"model\.onnx is not what was registered") as failure:
        manifest.check(folder, registered, "version 1")
    assert hashlib.sha256(b"graph").hexdigest() in failure.value.where
    assert hashlib.sha256(b"grapf").hexdigest() in failure.value.where


def test_a_missing_file_and_a_stranger_are_refused(package: tuple[Path, dict[str, str]]) -> None:
    folder, registered = package
    (folder / "stranger.pkl").write_bytes(b"x")
    with pytest.raises(DataError, match=r"stranger\.pkl was not registered"):
        manifest.check(folder, registered, "version 1")
    (folder / "stranger.pkl").unlink()
    (folder / "plots" / "a.png").unlink()
    with pytest.raises(DataError, match=r"plots/a\.png is not what was registered"):
        manifest.check(folder, registered, "version 1")


def test_a_manifest_that_was_written_anew_does_not_help(package: tuple[Path, dict[str, str]]) -> None:
    """Whoever changes a file and the manifest beside it cannot change the registry's tags with them."""
    folder, registered = package
    (folder / "model.onnx").write_bytes(b"other")
    manifest.write(folder)
    with pytest.raises(DataError, match="is not what was registered"):
        manifest.check(folder, registered, "version 1")


def test_a_manifest_that_lies_is_refused(package: tuple[Path, dict[str, str]]) -> None:
    folder, registered = package
    (folder / "manifest.json").write_text("{}")
    lying = {**registered, "manifest.json": manifest.sha256(folder / "manifest.json")}
    with pytest.raises(DataError, match="does not list the files beside it"):
        manifest.check(folder, lying, "version 1")
