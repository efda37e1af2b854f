"""The version in the real Triton before anybody judges it: loaded under another name, asked, measured, removed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipelines.errors import ServiceError
from pipelines.stores import repository
from pipelines.stores.answers import INPUT, Graph, Request, differences, take
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server

WARM_UP = 20


@dataclass(frozen=True)
class Rehearsal:
    """What was measured; None is not measured, and `why` says why."""

    requests: int | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    parity_sessions: int | None = None
    parity_wrong: int | None = None
    parity_difference: float | None = None
    """Largest difference of a score between server and file, relative above 1."""
    why: str | None = None

    def record(self) -> dict[str, object]:
        return asdict(self)


def rehearse(package: Path, sessions: Request, num_requests: int) -> Rehearsal:
    """Latency of single sessions and parity of all of them. A server that is away measures nothing, and that is the result."""
    server = Server()
    name = f"{settings().model_name}_rehearsal"
    try:
        server.check()
        with repository.lock(), loaded(package, name, server):
            taken_ms = latency(server, name, sessions, num_requests)
            answers, _ = server.ask(name, sessions)
    except ServiceError as error:
        return Rehearsal(why=f"{error.what} ({error.where})")
    wrong, apart = differences(Graph(package / repository.MODEL).ask(sessions), answers)
    p50, p95 = np.percentile(taken_ms, (50, 95))
    return Rehearsal(num_requests, round(float(p50), 3), round(float(p95), 3), len(sessions[INPUT]), int(wrong.sum()), apart)


@contextmanager
def loaded(package: Path, name: str, server: Server) -> Iterator[None]:
    """The package as version 1 of a model of its own, gone afterwards."""
    try:
        with repository.disk(repository.home(name)):
            shutil.rmtree(repository.home(name), ignore_errors=True)
            (repository.home(name) / "1").mkdir(parents=True)
            shutil.copyfile(package / repository.MODEL, repository.home(name) / "1" / repository.MODEL)
            shutil.copyfile(package / repository.CONFIG, repository.home(name) / repository.CONFIG)
        server.load(name)
        yield
    finally:
        with suppress(ServiceError):
            server.unload(name)
        shutil.rmtree(repository.home(name), ignore_errors=True)


def latency(server: Server, name: str, sessions: Request, count: int) -> list[float]:
    """Milliseconds of `count` requests of one session, one after the other, from this process; the first ones do not count."""
    taken = []
    for number in range(WARM_UP + count):
        at = number % len(sessions[INPUT])
        request = take(sessions, slice(at, at + 1))
        begin = time.perf_counter()
        server.ask(name, request)
        taken.append((time.perf_counter() - begin) * 1000)
    return taken[WARM_UP:]
