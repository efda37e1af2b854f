"""A disk that is really full: a file system of some MiB with Triton's repository and the journal on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from infra.local import ports, triton
from pipelines.errors import ServiceError
from pipelines.stores.settings import Settings
from tests.faults.conftest import Platform, kill_triton
from tests.pipelines import publishing
from tests.pipelines.publishing import aliases, champion_serves, promoted

SIZE_MIB = 64


@pytest.fixture
def small(platform: Platform, tmp_path: Path) -> Iterator[Settings]:
    """Another Triton, on the same registry, with its state on a small disk."""
    var = tmp_path / "var"
    var.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(var)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a tmpfs here")
    try:
        ours = Settings(var=var, mlruns=platform.settings.mlruns, **ports.chosen())  # type: ignore[arg-type]
        with triton.running(ours), publishing.connected(ours):
            publishing.ready(*platform.versions)
            yield ours
            kill_triton(ours)
    finally:
        subprocess.run(["umount", "--lazy", str(var)], check=True)


def fill(disk: Path, leave_kib: int) -> None:
    """All but so many KiB."""
    filler = disk / "filler"
    with filler.open("ab") as file, suppress(OSError):
        while True:
            os.write(file.fileno(), b"x" * 4096)
    os.truncate(filler, max(0, filler.stat().st_size - leave_kib * 1024))


def test_a_full_disk_is_said_and_changes_nothing(small: Settings, platform: Platform) -> None:
    """With less and less room, hence at one step after the other: the note, the copy, the configuration."""
    champion, challenger = platform.versions
    said = []
    for leave_kib in (0, 4, 8, 16, 32, 64, 128):
        fill(small.var, leave_kib)
        with pytest.raises(ServiceError, match="the disk is full") as failure:
            promoted(challenger)
        said.append(failure.value.where)
        assert aliases()["champion"] == champion
        champion_serves(champion)
    assert len(set(said)) > 1, "it was always the same step"
    (small.var / "filler").unlink()
    promoted(challenger)
    champion_serves(challenger)
    assert aliases()["previous"] == champion
