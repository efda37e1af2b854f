"""Where a training stands after an epoch, in one file: a run that was killed goes on from there and ends the same.

The file is safetensors; what is no tensor is JSON in its header. It is written beside its place and renamed: there is
always a whole one or none. It counts only for the same settings, data, code, torch and number of processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class State:
    """Tensors and JSON values by name."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below `prefix.`, by the rest of their names."""
        begin = f"{prefix}."
        return {name.removeprefix(begin): value for name, value in self.tensors.items() if name.startswith(begin)}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reverse of `State.part`."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


class Checkpoint:
    """The one checkpoint of a model's training, in its folder."""

    def __init__(self, folder: Path, identity: Mapping[str, str]) -> None:
        self.folder, self.path, self.identity = folder, folder / FILE, dict(identity)
        self.mlflow_run_id: str | None = None
        self.found = self._load()
        """What was there when the training began."""

    def save(self, state: State) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.tensors.items()}
        header = {"identity": json.dumps(self.identity), "values": json.dumps(state.values), "run": self.mlflow_run_id or ""}
        beside = self.path.with_suffix(".new")
        save_file(tensors, beside, header)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(self.path)

    def _load(self) -> State | None:
        """On the CPU; None if there is none. Another training's, or a broken one, is left out, and that is said."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                header = file.metadata() or {}
                other = json.loads(header["identity"])
                differs = [name for name in sorted({*other, *self.identity}) if other.get(name) != self.identity.get(name)]
                if differs:
                    _say(f"the checkpoint in {self.folder} is of another training ({', '.join(differs)}): it begins anew")
                    return None
                self.mlflow_run_id = header["run"] or None
                return State({name: file.get_tensor(name) for name in file.keys()}, json.loads(header["values"]))  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            _say(f"the checkpoint in {self.folder} cannot be read ({error}): training begins anew")
            return None

    def discard(self) -> None:
        """When the training is done, or begins anew."""
        for path in (self.path, self.path.with_suffix(".new")):
            path.unlink(missing_ok=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def code(files: Iterable[Path]) -> str:
    """Hash of the files' contents."""
    total = hashlib.sha256(torch.__version__.encode())
    for path in sorted(files):
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def settings(*sections: Mapping[str, Any]) -> str:
    """Hash of the values."""
    return hashlib.sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()[:16]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
