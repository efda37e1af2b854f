"""How many requests are on their way at once, and how many may wait for that: the rest is told at once.

Triton 24.10 has queue policies, but each of them makes its batcher stall; so the limit stands here, before the server.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from pipelines.errors import ServiceError


class OverloadedError(ServiceError):
    """Too many requests already wait for the served model: what an application answers with 503 and Retry-After."""


def overloaded(running: int, waiting: int, why: str) -> OverloadedError:
    return OverloadedError(
        f"the served model has too much to do: {why}",
        f"{running} requests on their way, {waiting} wait for that",
        "answer 503 with Retry-After; if the server has room: raise max_concurrent or max_waiting, or join requests "
        "(batch_delay_ms)",
    )


class Limit:
    """For threads."""

    def __init__(self, max_concurrent: int, max_waiting: int) -> None:
        self.max_concurrent, self.max_waiting = max_concurrent, max_waiting
        self.running = self.waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def slot(self, patience_s: float) -> Iterator[None]:
        """OverloadedError if too many wait already, or none of those before ends in time."""
        with self._changed:
            if self.running >= self.max_concurrent:
                self._wait(patience_s)
            self.running += 1
        try:
            yield
        finally:
            with self._changed:
                self.running -= 1
                self._changed.notify()

    def _wait(self, patience_s: float) -> None:
        if self.waiting >= self.max_waiting:
            raise overloaded(self.running, self.waiting, "no more may wait")
        self.waiting += 1
        try:
            if not self._changed.wait_for(lambda: self.running < self.max_concurrent, patience_s):
                raise overloaded(self.running, self.waiting, f"none of them ended in {patience_s:.1f} s")
        finally:
            self.waiting -= 1


class AsyncLimit:
    """For the tasks of one event loop."""

    def __init__(self, max_concurrent: int, max_waiting: int) -> None:
        self.max_concurrent, self.max_waiting = max_concurrent, max_waiting
        self.waiting = 0
        self._free = asyncio.Semaphore(max_concurrent)

    @asynccontextmanager
    async def slot(self, patience_s: float) -> AsyncIterator[None]:
        """OverloadedError if too many wait already, or none of those before ends in time."""
        if self._free.locked() and self.waiting >= self.max_waiting:
            raise overloaded(self.max_concurrent, self.waiting, "no more may wait")
        self.waiting += 1
        try:
            async with asyncio.timeout(patience_s):
                await self._free.acquire()
        except TimeoutError:
            why = f"none of them ended in {patience_s:.1f} s"
            raise overloaded(self.max_concurrent, self.waiting, why) from None
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._free.release()
