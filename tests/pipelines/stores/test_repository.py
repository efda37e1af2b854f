"""Triton's folder: whole versions, one switch, one publisher."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import ServiceError
from pipelines.stores import manifest, repository
from pipelines.stores.settings import settings

MODEL = "shop"


@pytest.fixture(autouse=True)
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NEXTCLICK_VAR", str(tmp_path / "var"))
    settings.cache_clear()
    yield tmp_path / "var"
    settings.cache_clear()


def package(folder: Path, content: str = "graph", size: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in repository.KEPT:
        (folder / name).write_text(f"{content} of {name}\n" + "x" * size)
    return folder


def put(folder: Path, version: int, content: str = "graph") -> Path | None:
    return repository.put(repository.stage(package(folder, content), MODEL, version), MODEL, version)


def test_the_configuration_names_the_served_version(tmp_path: Path) -> None:
    assert repository.pinned(MODEL) is None
    for version in (3, 4):
        put(tmp_path / "package", version)
        repository.pin(MODEL, version)
        assert repository.pinned(MODEL) == version
    repository.unpin(MODEL)
    assert repository.pinned(MODEL) == 3
    assert repository.numbers(MODEL) == [3, 4]


def test_without_a_configuration_of_before_there_is_none_again(tmp_path: Path) -> None:
    put(tmp_path / "package", 3)
    repository.pin(MODEL, 3)
    repository.unpin(MODEL)
    assert not (repository.home(MODEL) / "config.pbtxt").exists()


def test_a_version_is_known_by_its_bytes(tmp_path: Path) -> None:
    put(tmp_path / "package", 3)
    hashes = manifest.hashes(tmp_path / "package")
    assert repository.whole(MODEL, 3, hashes)
    assert not repository.whole(MODEL, 4, hashes)
    (repository.home(MODEL) / "3" / "golden.json").write_text("other")
    assert not repository.whole(MODEL, 3, hashes)


def test_a_folder_of_that_number_comes_back_when_it_is_undone(tmp_path: Path) -> None:
    put(tmp_path / "package", 3, "old")
    aside = put(tmp_path / "package", 3, "new")
    served = repository.home(MODEL) / "3" / "model.onnx"
    assert served.read_text().startswith("new")
    repository.take_back(MODEL, 3, aside)
    assert served.read_text().startswith("old")


def hold(ready: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    with repository.lock():
        ready.put(os.getpid())
        time.sleep(60)


def test_one_publisher_at_a_time_and_a_dead_one_holds_nothing() -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Queue()
    other = context.Process(target=hold, args=(ready,))
    other.start()
    holder = ready.get(timeout=10)
    with pytest.raises(ServiceError, match="another process is publishing") as failure, repository.lock(patience_s=0.3):
        pass
    assert f"process {holder}" in failure.value.where
    os.kill(holder, signal.SIGKILL)
    other.join()
    with repository.lock(patience_s=0.3):
        assert not repository.staging().exists()


def test_a_really_full_disk(tmp_path: Path, var: Path) -> None:
    """A file system of 64 KiB: the old version and the configuration stay, whole."""
    (var / "triton").mkdir(parents=True)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(var / "triton")], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("no right to mount a tmpfs here")
    try:
        put(tmp_path / "small", 3)
        repository.pin(MODEL, 3)
        big = package(tmp_path / "big", size=60_000)
        with pytest.raises(ServiceError, match="the disk is full"), repository.lock(), repository.disk(repository.staging()):
            repository.stage(big, MODEL, 4)
        assert repository.pinned(MODEL) == 3
        assert repository.numbers(MODEL) == [3]
        assert repository.whole(MODEL, 3, manifest.hashes(tmp_path / "small"))
        assert not repository.staging().exists()
    finally:
        subprocess.run(["umount", str(var / "triton")], check=True)
