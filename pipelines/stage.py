"""How a stage or an action runs: its sections of `params.yaml` come in, a report goes out.

A stage is a package of this folder with a function `run`. The names of its parameters are the sections it reads, their
annotations the types; a parameter `model: str` takes the word after the stage's name (with a default, the word may be left
out). What `run` returns is a Report: printed for people, and as one line of JSON, the last line of the output, for the caller.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import time
import typing
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines import params
from pipelines.errors import ParamsError, PipelineError
from pipelines.params import Config

REPORT = "NEXTCLICK_REPORT"
"""Environment variable: a file that gets the line of JSON too, for a caller who does not see the output (DVC is between)."""

DONE, FAILED, REFUSED = 0, 1, 99
"""Exit codes. 99: the gate says no; Airflow shows what follows as skipped."""


@dataclass
class Report:
    """What a stage read, wrote and dropped (counts by name), and what else is worth knowing.

    result is for the caller: small, JSON, the action's outcome. refused means exit code 99.
    """

    read: Mapping[str, int] = field(default_factory=dict)
    wrote: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    result: Mapping[str, Any] = field(default_factory=dict)
    refused: bool = False

    def lines(self, title: str, seconds: float) -> list[str]:
        """The end of every log: counts, notes, duration."""
        rows = [("read", self.read), ("wrote", self.wrote), ("dropped", self.dropped)]
        counted = [f"  {word:8}{_listed(counts)}" for word, counts in rows]
        return [f"{title}:", *counted, *(f"  note    {note}" for note in self.notes), f"  took    {seconds:.1f} s"]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items()) or "nothing"


def sections(function: Callable[..., Report]) -> dict[str, type]:
    """Parameter names and types of a stage's `run`, in order."""
    hints = typing.get_type_hints(function)
    return {name: hints[name] for name in inspect.signature(function).parameters}


def find(name: str) -> Callable[..., Report]:
    """The `run` of a stage or action. ParamsError if there is none of that name."""
    from pipelines import ACTIONS, STAGES

    known = (*STAGES, *ACTIONS)
    if name not in known:
        raise ParamsError(f"there is no stage or action {name!r}", "python -m pipelines", f"known, in order: {', '.join(known)}")
    run = importlib.import_module(f"pipelines.{name}").run
    return typing.cast(Callable[..., Report], run)


def arguments(name: str, run: Callable[..., Report], words: list[str]) -> dict[str, Any]:
    """The values `run` asks for: sections from params.yaml, other words from the command line."""
    wanted = list(words)
    values: dict[str, Any] = {}
    for key, kind in sections(run).items():
        if isinstance(kind, type) and issubclass(kind, Config):
            values[key] = params.section(key, kind)
        elif wanted:
            values[key] = wanted.pop(0)
        elif inspect.signature(run).parameters[key].default is inspect.Parameter.empty:
            usage = f"python -m pipelines {name}"
            raise ParamsError(f"{name} needs a word more: {key}", usage, f"{usage} <{key}>")
    if wanted:
        raise ParamsError(f"{name} does not take {wanted}", f"python -m pipelines {name}", "values belong into params.yaml")
    return values


def main(words: list[str]) -> int:
    """Run one stage or action by name, print its report; exit code as in DONE, FAILED, REFUSED."""
    begin = time.monotonic()
    title = " ".join(words)
    try:
        if not words:
            find("")
        run = find(words[0])
        report = run(**arguments(words[0], run, words[1:]))
    except PipelineError as error:
        print(f"{error}\n  in      {title}, after {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)
        return FAILED
    seconds = time.monotonic() - begin
    print("\n".join(report.lines(title, seconds)), file=sys.stderr, flush=True)
    line = {key: value for key, value in asdict(report).items() if value and key not in ("notes", "refused")}
    text = json.dumps({"stage": title, **line, "seconds": round(seconds, 2)})
    print(text, flush=True)
    if REPORT in os.environ:
        Path(os.environ[REPORT]).write_text(text, encoding="utf-8")
    return REFUSED if report.refused else DONE
