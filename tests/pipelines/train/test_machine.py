from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from pipelines import stage
from pipelines.train.machine import compile_blocks


class Stacked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.GELU()) for _ in range(3))
        self.recurrent = nn.ModuleList([nn.Sequential(nn.GRU(2, 2))])
        self.columns = nn.ModuleList([nn.Embedding(3, 2)])
        self.head = nn.Sequential(nn.Linear(2, 2))


def test_stacked_blocks_are_compiled_and_nothing_else() -> None:
    model = Stacked()
    assert compile_blocks(model) == 3
    compiled = {name for name, module in model.named_modules() if module._compiled_call_impl is not None}
    assert compiled == {"blocks.0", "blocks.1", "blocks.2"}
    assert list(model.state_dict()) == list(Stacked().state_dict())


@pytest.mark.slow
def test_without_a_compiler_the_setting_is_named(run_folder: Callable[..., Path]) -> None:
    """In a process of its own: the shape checks of the tests and torch.compile do not go together."""
    run_folder(train__compile=True, train__max_epochs=1)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "CXX": "/there/is/none"}
    words = [sys.executable, "-m", "pipelines", "train", "sasrec"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == stage.FAILED
    assert "ParamsError: the model's blocks could not be compiled" in ended.stderr
    assert "train.compile = true" in ended.stderr
    assert "Traceback" not in ended.stderr
