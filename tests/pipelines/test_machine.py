"""The device of the settings, and memory that is used again."""

import subprocess
import sys

import pytest
import torch

from pipelines.errors import ParamsError
from pipelines.machine import choose_device

FAULTS = """
import resource, sys, torch
from pipelines.machine import keep_memory
if sys.argv[1] == "kept":
    assert keep_memory()
for _ in range(20):
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
for _ in range(20):
    torch.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def new_pages(how: str) -> int:
    """Pages that the kernel handed over during the second twenty allocations."""
    ended = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    before, after = map(int, ended.stdout.split())
    return after - before


def test_memory_given_back_is_used_again() -> None:
    assert new_pages("kept") < 100
    assert new_pages("as it comes") > 10_000, "then keep_memory is not needed any more"


def test_a_device_that_is_not_there_names_the_setting() -> None:
    assert choose_device("cpu", "train.device") == torch.device("cpu")
    if torch.cuda.is_available():
        assert choose_device("auto", "train.device").type == "cuda"
    else:
        assert choose_device("auto", "train.device").type == "cpu"
        with pytest.raises(ParamsError, match="CUDA device") as error:
            choose_device("cuda", "evaluate.device")
        assert "evaluate.device" in error.value.where
