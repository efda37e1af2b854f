"""A process of its own that promotes or rolls back for real, with something going wrong at a step of its journal.

Forked from a server that has imported everything: it is there in milliseconds, and may be killed at any moment.
"""

from __future__ import annotations

import datetime
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import mlflow.artifacts  # all imported here once, not in every child
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import onnxruntime  # noqa: F401
import tritonclient.http  # noqa: F401

from pipelines import promote, rollback
from pipelines.errors import PipelineError
from pipelines.promote.params import PromoteParams
from pipelines.stores import changeover, journal, publication, registry, triton  # noqa: F401
from pipelines.stores.settings import settings

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__, "pytest"])


@dataclass(frozen=True)
class Fault:
    """What goes wrong. Steps are the journal's; `done` is its end."""

    die: str = ""
    """"before pin", "after pin": killed before, or after, the step is written down; in both cases before it is done."""
    pause: str = ""
    """Step at which the process waits until the test goes on."""
    clock_jump: str = ""
    """Step from which on the clock shows ten years earlier."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Constants of `pipelines.stores.triton` to change: what takes minutes must be tested in seconds."""


def act(pipe: Connection, environment: Mapping[str, str], action: str, version: str, fault: Fault) -> None:
    """The child: what `python -m pipelines promote VERSION` does, its outcome sent to the parent."""
    os.environ.update(environment)
    settings.cache_clear()
    install(fault, pipe)
    begin = time.monotonic()
    try:
        report = promote.run(PromoteParams(keep=3), version) if action == "promote" else rollback.run()
        pipe.send(("done", report.result["version"], time.monotonic() - begin))
    except PipelineError as error:
        pipe.send((type(error).__name__, str(error), time.monotonic() - begin))


def install(fault: Fault, pipe: Connection) -> None:
    """The fault at the one place that every change passes before each step."""
    step, end = journal.Change.step, journal.Change.end

    def reached(name: str, write: Any) -> None:
        if fault.die == f"before {name}":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.clock_jump == name:
            jump()
        write()
        if fault.die == f"after {name}":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault.pause == name:
            pipe.send(("paused", name, 0.0))
            pipe.recv()

    journal.Change.step = lambda self, name: reached(name, lambda: step(self, name))  # type: ignore[method-assign]
    journal.Change.end = lambda self, outcome: reached("done", lambda: end(self, outcome))  # type: ignore[method-assign]
    for name, value in fault.settings.items():
        assert hasattr(triton, name)
        setattr(triton, name, value)


def jump() -> None:
    """The wall clock of this process goes back ten years, for everybody who asks it in Python."""
    real = time.time
    time.time = lambda: real() - 10 * 365 * 86_400

    class Earlier(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Earlier:  # type: ignore[override]
            return cls.fromtimestamp(time.time(), tz)

    journal.datetime = Earlier  # type: ignore[attr-defined,misc]


@dataclass(frozen=True)
class Outcome:
    """How it ended: done, the name of the error, or killed; the version or the error's text."""

    word: str
    said: Any
    seconds: float


class Publisher:
    """The child as the test sees it."""

    def __init__(self, environment: Mapping[str, str], action: str, version: int | str = "", fault: Fault | None = None) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=act, args=(theirs, environment, action, str(version), fault or Fault()))
        self.process.start()
        theirs.close()

    def paused(self, patience_s: float = 30) -> str:
        """The step that it waits at."""
        assert self.pipe.poll(patience_s), "the publisher does not come to that step"
        word, said, _ = self.pipe.recv()
        assert word == "paused", said
        return str(said)

    def go_on(self) -> None:
        self.pipe.send("go on")

    def kill(self) -> None:
        self.process.kill()

    def ended(self, patience_s: float = 90) -> Outcome:
        try:
            assert self.pipe.poll(patience_s), "the publisher does not end"
            word, said, seconds = self.pipe.recv()
        except EOFError:
            word, said, seconds = "killed", None, 0.0
        self.process.join(10)
        if word == "killed":
            assert self.process.exitcode == -signal.SIGKILL, self.process.exitcode
        return Outcome(word, said, seconds)


ROOT = Path(__file__).resolve().parents[2]
