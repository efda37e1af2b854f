"""The same client for asyncio. Calls that are made at about the same time can be joined into one request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipelines.serve.client import patient
from pipelines.serve.limit import AsyncLimit
from pipelines.serve.requests import Answer, Event, Item, Requests
from pipelines.serve.tries import Tries
from pipelines.stores.answers import INPUT, MAX_BATCH, Answers, Request, join, parts
from pipelines.stores.channel import Answered, AwayError, RefusedError, async_channel
from pipelines.stores.settings import settings

T = TypeVar("T")


class AsyncClient:
    """`Client` for the tasks of one event loop; made inside it. The settings are Client's, and:

    batch_delay_ms  calls that come within so many milliseconds of each other become one request, of MAX_BATCH sessions at
                    most; None: each call is sent at once, and the server joins what waits there. Joined calls share one
                    answer, or one failure, of the server

    A call that is cancelled stops waiting; its request goes on to its end: to break it off could crash the server.
    """

    def __init__(
        self,
        url: str | None = None,
        vocabulary: Path | None = None,
        timeout_s: float = 5.0,
        *,
        protocol: str = "grpc",
        retries: int = 2,
        max_concurrent: int = 32,
        max_waiting: int = 256,
        batch_delay_ms: float | None = None,
    ) -> None:
        self.channel, self.requests, self.model = async_channel(protocol, url), Requests(vocabulary), settings().model_name
        self.timeout_s, self.retries = patient(timeout_s, self.channel.least_s), retries
        self.limit = AsyncLimit(max_concurrent, max_waiting)
        self._widths: dict[str, int] | None = None
        self._joined = None if batch_delay_ms is None else Joined(self._infer, batch_delay_ms / 1000)
        self._under_way: set[asyncio.Task[Any]] = set()

    async def recommend(
        self,
        sessions: Sequence[Sequence[Item | Event]],
        k: int = 20,
        *,
        exclude_seen: bool | None = None,
        deny: Sequence[Item] = (),
    ) -> list[Answer]:
        """As `Client.recommend`."""
        if not sessions:
            return []
        for asked_anew in (False, True):
            if self._widths is None:
                self._widths = await self._tried(Tries(self.timeout_s, self.retries, 0), self._look)
            request = self.requests.request(sessions, self._widths, exclude_seen, deny)
            send = self._joined.infer if self._joined else self._infer
            try:
                given = await asyncio.gather(*(self._to_its_end(send(part)) for part in parts(request)))
                break
            except RefusedError:
                if asked_anew:
                    raise
                self._widths = None  # a new version may read other inputs, or another length: look, and ask once more
        return self.requests.answers(join([answers for answers, _ in given]), given[-1][1], k)

    async def close(self) -> None:
        """Waits for what is under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self.channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _look(self, _: float) -> dict[str, int]:
        return await self.channel.widths(self.model)

    async def _infer(self, part: Request) -> Answered:
        tries = Tries(self.timeout_s, self.retries, self.channel.least_s)

        async def ask(left_s: float) -> Answered:
            async with self.limit.slot(left_s):
                return await self.channel.infer(self.model, part, tries.left_s())

        return await self._tried(tries, ask)

    async def _tried(self, tries: Tries, ask: Callable[[float], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask(tries.left_s())
            except AwayError as error:
                await asyncio.sleep(tries.pause_s(error))

    async def _to_its_end(self, ask: Coroutine[Any, Any, Answered]) -> Answered:
        """A task of its own, which the caller's end does not end."""
        task = asyncio.create_task(ask)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)


class Joined:
    """Requests that come within `delay_s` of the first one are sent as one, and the answer is cut apart."""

    def __init__(self, send: Callable[[Request], Awaitable[Answered]], delay_s: float) -> None:
        self.send, self.delay_s = send, delay_s
        self._waiting: list[tuple[Request, asyncio.Future[Answered]]] = []
        self._rows = 0
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def infer(self, request: Request) -> Answered:
        """The request has MAX_BATCH sessions at most."""
        rows = len(request[INPUT])
        if self._waiting and (self._rows + rows > MAX_BATCH or widths(self._waiting[0][0]) != widths(request)):
            self._flush()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answered] = loop.create_future()
        self._waiting.append((request, future))
        self._rows += rows
        if self._rows >= MAX_BATCH:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(self.delay_s, self._flush)
        return await future

    def _flush(self) -> None:
        if self._timer:
            self._timer.cancel()
        waiting, self._waiting, self._rows, self._timer = self._waiting, [], 0, None
        task = asyncio.create_task(self._answer(waiting))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _answer(self, waiting: list[tuple[Request, asyncio.Future[Answered]]]) -> None:
        whole = {name: np.concatenate([request[name] for request, _ in waiting]) for name in waiting[0][0]}
        try:
            given, version = await self.send(whole)
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        at = 0
        for request, future in waiting:
            part = slice(at, at := at + len(request[INPUT]))
            if not future.done():
                future.set_result((Answers(given.ids[part], given.scores[part], given.fallback[part]), version))


def widths(request: Request) -> dict[str, int]:
    return {name: values.shape[1] for name, values in request.items()}
