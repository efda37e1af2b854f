"""The version in the real Triton before anybody judges it: loaded under another name, asked, measured, removed.

The champion is rehearsed beside it, asked in turns with it, so that what disturbs the machine meanwhile disturbs both.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from pipelines.errors import DataError, ServiceError
from pipelines.stores import registry, repository
from pipelines.stores.answers import BLANKS, INPUT, Graph, Ids, Request, differences, take
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server

WARM_UP = 20
MB = 1e6


@dataclass(frozen=True)
class Served:
    """One version in the server. None is not measured, and `why` (for the memory: `why_no_memory`) says why.

    memory_mb  resident megabytes of the process that serves it, after the requests
    """

    p50_ms: float | None = None
    p95_ms: float | None = None
    memory_mb: float | None = None
    why_no_memory: str | None = None
    why: str | None = None


@dataclass(frozen=True)
class Champion(Served):
    version: int | None = None


@dataclass(frozen=True)
class Rehearsal(Served):
    """What was measured. champion: None if there is none yet."""

    requests: int | None = None
    parity_sessions: int | None = None
    parity_wrong: int | None = None
    parity_difference: float | None = None
    """Largest difference of a score between server and file, relative above 1."""
    champion: Champion | None = None

    def record(self) -> dict[str, object]:
        return asdict(self)


def rehearse(package: Path, sessions: Request, num_requests: int, beside: Path) -> Rehearsal:
    """Latency of single sessions, memory, and parity of all sessions. A server that is away measures nothing: that is said.

    beside  a folder for the champion's package
    """
    server, names = Server(), [f"{settings().model_name}_rehearsal", f"{settings().model_name}_rehearsal_champion"]
    champion = pulled(beside)
    try:
        server.check()
        with repository.lock(), ExitStack() as served:
            served.enter_context(loaded(package, names[0], server))
            answers, _ = server.ask(names[0], sessions)
            if champion and champion.why is None:
                try:
                    served.enter_context(loaded(beside, names[1], server))
                except ServiceError as error:
                    champion = replace(champion, why=f"{error.what} ({error.where})")
            is_beside = champion is not None and champion.why is None
            mine, *theirs = measured(server, names if is_beside else names[:1], sessions, num_requests)
    except ServiceError as error:
        return Rehearsal(why=f"{error.what} ({error.where})", champion=champion)
    if champion and theirs:
        champion = Champion(**vars(theirs[0]), version=champion.version)
    wrong, apart = differences(Graph(package / repository.MODEL).ask(sessions), answers)
    return Rehearsal(
        **vars(mine),
        requests=num_requests,
        parity_sessions=len(sessions[INPUT]),
        parity_wrong=int(wrong.sum()),
        parity_difference=apart,
        champion=champion,
    )


def pulled(folder: Path) -> Champion | None:
    """Today's champion with its package in `folder`; with the reason if that cannot be read; None if there is no champion."""
    version = registry.resolve(registry.CHAMPION)
    if version is None:
        return None
    try:
        registry.fetch(version, folder)
    except DataError as error:
        return Champion(version=version.version, why=f"{error.what} ({error.where})")
    return Champion(version=version.version)


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


def measured(server: Server, names: Sequence[str], sessions: Request, count: int) -> list[Served]:
    """Of each of the models: `count` requests of one session, one after the other and in turns; the first ones do not count."""
    asked = [as_known(sessions, server.inputs(name)) for name in names]
    taken_ms: list[list[float]] = [[] for _ in names]
    for number in range(WARM_UP + count):
        at = number % len(sessions[INPUT])
        for name, request, taken in zip(names, asked, taken_ms, strict=True):
            one = take(request, slice(at, at + 1))
            begin = time.perf_counter()
            server.ask(name, one)
            taken.append((time.perf_counter() - begin) * 1000)
    found = []
    for name, taken in zip(names, taken_ms, strict=True):
        p50, p95 = np.percentile(taken[WARM_UP:], (50, 95))
        memory_mb, why = memory(repository.home(name))
        found.append(Served(round(float(p50), 3), round(float(p95), 3), memory_mb, why))
    return found


def as_known(sessions: Request, widths: dict[str, int]) -> dict[str, Ids]:
    """The sessions as another version is asked, which may have other inputs and widths: right for its time, not its answer."""
    rows, found = len(sessions[INPUT]), {}
    for name, width in widths.items():
        values = sessions.get(name, np.full((rows, 0), BLANKS[name]))[:, :width]
        found[name] = np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=BLANKS[name])
    return found


def memory(home: Path) -> tuple[float | None, str | None]:
    """Resident megabytes of the process that serves the model of this folder, or why they are not known.

    Triton's Python backend runs each model in a process whose command line names the model's file. The C++ backends serve
    within the server, where one model's share cannot be seen.
    """
    total = 0
    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith(f"{home}/") for word in process.info["cmdline"] or ()):
            with suppress(psutil.Error):  # it has ended meanwhile
                total += process.memory_info().rss
    if total:
        return round(total / MB, 1), None
    return None, f"no process here names {home.name} in its command line: the server runs elsewhere, or serves it within itself"
