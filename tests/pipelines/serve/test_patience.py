"""Retries, limits in time and in number, joining: against a server of the test's own making, whose every answer is known."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipelines.errors import DataError, ParamsError, ServiceError
from pipelines.serve.aio import AsyncClient
from pipelines.serve.client import Client
from pipelines.serve.limit import OverloadedError
from pipelines.stores.answers import INPUT, Answers, Request
from pipelines.stores.channel import Answered, AwayError, RefusedError

AWAY, REFUSED = AwayError("Triton does not answer", "test", "wait"), RefusedError("Triton does not take it", "test", "look")


class Scripted:
    """Answers each session with its first item. `script`: what the next requests meet, None for an answer."""

    least_s = 0.0

    def __init__(self, *script: ServiceError | None, wait: Callable[[], None] = lambda: None) -> None:
        self.script, self.wait = list(script), wait
        self.lengths = [3]
        self.asked: list[Request] = []

    def widths(self, model: str) -> dict[str, int]:
        return {INPUT: self.lengths.pop(0) if len(self.lengths) > 1 else self.lengths[0]}

    def infer(self, model: str, request: Request, timeout_s: float) -> Answered:
        self.asked.append(request)
        self.wait()
        if self.script and (error := self.script.pop(0)):
            raise error
        ids = request[INPUT]
        return Answers(ids[:, :1], np.ones((len(ids), 1), dtype=np.float32), np.zeros((len(ids), 1), dtype=np.bool_)), 1

    def close(self) -> None:
        pass


class AsyncScripted:
    least_s = 0.0

    def __init__(self, *script: ServiceError | None, pause_s: float = 0.0) -> None:
        self.inner, self.pause_s = Scripted(*script), pause_s
        self.ended = 0

    async def widths(self, model: str) -> dict[str, int]:
        return self.inner.widths(model)

    async def infer(self, model: str, request: Request, timeout_s: float) -> Answered:
        await asyncio.sleep(self.pause_s)
        try:
            return self.inner.infer(model, request, timeout_s)
        finally:
            self.ended += 1

    async def close(self) -> None:
        pass


def client(channel: Scripted, **settings: float) -> Client:
    made = Client(**settings)  # type: ignore[arg-type]
    made.channel = channel
    return made


def async_client(channel: AsyncScripted, **settings: float) -> AsyncClient:
    made = AsyncClient(protocol="http", **settings)  # type: ignore[arg-type]
    made.channel = channel
    return made


def test_a_server_that_comes_back_is_asked_again() -> None:
    channel = Scripted(AWAY, AWAY, None)
    assert client(channel, retries=2).recommend([[5]])[0].items == [5]
    assert len(channel.asked) == 3


def test_retries_end_and_the_last_error_is_told() -> None:
    channel = Scripted(AWAY, AWAY, AWAY, None)
    with pytest.raises(AwayError):
        client(channel, retries=2).recommend([[5]])
    assert len(channel.asked) == 3


def test_all_tries_together_end_in_time() -> None:
    channel = Scripted(*[AWAY] * 100)
    begin = time.monotonic()
    with pytest.raises(AwayError):
        client(channel, retries=100, timeout_s=0.4).recommend([[5]])
    assert time.monotonic() - begin < 0.5
    assert 2 <= len(channel.asked) <= 5


def test_what_was_refused_is_asked_once_more_as_the_new_version_reads_it() -> None:
    channel = Scripted(REFUSED, None)
    channel.lengths = [3, 5]
    client(channel).recommend([[1, 2, 3, 4]])
    assert [request[INPUT].shape for request in channel.asked] == [(1, 3), (1, 5)]
    channel = Scripted(REFUSED, REFUSED, None)
    with pytest.raises(RefusedError):
        client(channel).recommend([[5]])


def test_a_version_without_choices_says_so_and_lets_seen_items_in() -> None:
    assert client(Scripted()).recommend([[5]], exclude_seen=False)[0].items == [5]
    for choice in ({"exclude_seen": True}, {"deny": [4]}):
        with pytest.raises(DataError, match="has no input"):
            client(Scripted()).recommend([[5]], **choice)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_grpc_requests_may_not_be_given_up_early(kind: type[Client]) -> None:
    async def make() -> None:
        kind(protocol="grpc", timeout_s=0.2)

    with pytest.raises(ParamsError, match="can crash the server"):
        asyncio.run(make())


def test_too_many_calls_are_told_at_once() -> None:
    """One is on its way, one waits, the third has no place."""
    go = threading.Event()
    channel = Scripted(wait=lambda: go.wait(5) and None)
    ours = client(channel, max_concurrent=1, max_waiting=1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ours.recommend, [[1]])
        while not channel.asked:
            time.sleep(0.01)
        second = pool.submit(ours.recommend, [[2]])
        while not ours.limit.waiting:
            time.sleep(0.01)
        begin = time.monotonic()
        with pytest.raises(OverloadedError) as failure:
            ours.recommend([[3]])
        assert time.monotonic() - begin < 0.2
        assert "503" in failure.value.next_step
        assert len(channel.asked) == 1
        go.set()
        assert [one.result()[0].items for one in (first, second)] == [[1], [2]]


def test_a_call_does_not_wait_longer_for_its_turn_than_its_time() -> None:
    go = threading.Event()
    ours = client(Scripted(wait=lambda: go.wait(5) and None), max_concurrent=1, timeout_s=0.3)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ours.recommend, [[1]])
        while not ours.limit.running:
            time.sleep(0.01)
        with pytest.raises(OverloadedError, match="none of them ended"):
            ours.recommend([[2]])
        go.set()
        first.result()


def test_asynchronous_calls_have_the_same_limits() -> None:
    async def whole() -> tuple[int, int]:
        ours = async_client(AsyncScripted(pause_s=0.05), max_concurrent=2, max_waiting=3)
        await ours.recommend([[0]])
        given = await asyncio.gather(*(ours.recommend([[number]]) for number in range(10)), return_exceptions=True)
        return sum(isinstance(one, list) for one in given), sum(isinstance(one, OverloadedError) for one in given)

    assert asyncio.run(whole()) == (5, 5)


def test_asynchronous_calls_are_retried() -> None:
    async def whole() -> int:
        channel = AsyncScripted(AWAY, REFUSED, AWAY, None)
        (answer,) = await async_client(channel).recommend([[5]])
        assert answer.items == [5]
        return len(channel.inner.asked)

    assert asyncio.run(whole()) == 4


def test_calls_are_joined_up_to_the_largest_batch() -> None:
    """70 calls of one session and one of 30: 64, then 36."""

    async def whole() -> list[int]:
        channel = AsyncScripted()
        ours = async_client(channel, batch_delay_ms=20)
        await ours.recommend([[0]])
        given = await asyncio.gather(
            *(ours.recommend([[number]]) for number in range(70)), ours.recommend([[number] for number in range(30)])
        )
        assert [answers[0].items for answers in given[:70]] == [[number] for number in range(70)]
        assert [answer.items for answer in given[70]] == [[number] for number in range(30)]
        return [len(request[INPUT]) for request in channel.inner.asked]

    assert asyncio.run(whole()) == [1, 64, 36]


def test_joined_calls_fail_together_and_a_bad_one_alone() -> None:
    async def whole() -> list[object]:
        channel = AsyncScripted(AWAY)
        ours = async_client(channel, batch_delay_ms=20, retries=0)
        return await asyncio.gather(
            ours.recommend([[1]]), ours.recommend([["text"]]), ours.recommend([[2]]), return_exceptions=True
        )

    kinds = [type(one) for one in asyncio.run(whole())]
    assert kinds == [AwayError, DataError, AwayError]


def test_a_call_that_is_given_up_does_not_break_off_its_request() -> None:
    async def whole() -> int:
        channel = AsyncScripted(pause_s=0.2)
        ours = async_client(channel)
        await ours.recommend([[0]])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ours.recommend([[1]]), 0.05)
        assert channel.ended == 1
        await ours.close()
        return channel.ended

    assert asyncio.run(whole()) == 2
