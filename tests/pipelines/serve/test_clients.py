"""All clients against a real Triton: waiting and asynchronous, HTTP and gRPC, joined or not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.errors import DataError
from pipelines.serve.aio import AsyncClient
from pipelines.serve.client import Answer, Client
from pipelines.stores.settings import settings
from tests.pipelines.serve.conftest import IDS, VERSION, K

pytestmark = pytest.mark.services

ROOT = Path(__file__).resolve().parents[3]
Ask = Callable[..., list[Answer]]


def waiting(protocol: str) -> Ask:
    def ask(*given: Any, **choices: Any) -> list[Answer]:
        with Client(protocol=protocol) as client:
            return client.recommend(*given, **choices)

    return ask


def asynchronous(protocol: str, delay_ms: float | None) -> Ask:
    def ask(*given: Any, **choices: Any) -> list[Answer]:
        async def whole() -> list[Answer]:
            async with AsyncClient(protocol=protocol, batch_delay_ms=delay_ms) as client:
                return await client.recommend(*given, **choices)

        return asyncio.run(whole())

    return ask


WAYS = {
    "http": waiting("http"),
    "grpc": waiting("grpc"),
    "async http": asynchronous("http", None),
    "async grpc": asynchronous("grpc", None),
    "joined": asynchronous("grpc", 2.0),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same_answers(served: Path, way: str) -> None:
    """Items of the session come first, in its order; then the lowest indices."""
    ask = WAYS[way]
    known, stranger, empty = ask([[IDS[9], IDS[5]], [10**15], []], k=4)
    assert known == Answer([IDS[9], IDS[5], IDS[0], IDS[1]], [100.0, 99.0, -1.0, -2.0], False, VERSION)
    assert stranger.items == empty.items == IDS[:4]
    assert stranger.fallback
    assert empty.fallback
    (strict,) = ask([[IDS[9], IDS[0]]], k=3, exclude_seen=True, deny=[IDS[2], 10**15])
    assert strict.items == [IDS[1], IDS[3], IDS[4]]
    assert ask([]) == []
    assert len(ask([[IDS[0]]], k=100)[0].items) == K
    assert [one.items[0] for one in ask([[item] for item in IDS * 4], k=1)] == IDS * 4  # three requests


def test_text_ids_are_translated_both_ways(served: Path) -> None:
    with Client(vocabulary=served) as client:
        (answer,) = client.recommend([["item-10", "nobody's", "item-6"]], k=3, deny=["item-1", "nobody's"])
    assert answer.items == ["item-10", "item-6", "item-2"]
    with Client() as client, pytest.raises(DataError, match="is text"):
        client.recommend([["item-10"]])


def test_too_many_denied_items_are_told(served: Path) -> None:
    with Client() as client, pytest.raises(DataError, match="5 items are denied") as failure:
        client.recommend([[IDS[0]]], deny=IDS[:5])
    assert "takes 4 at most" in failure.value.where


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_threads_may_share_a_client(served: Path, protocol: str) -> None:
    with Client(protocol=protocol) as client, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda item: client.recommend([[item]], k=1)[0].items, IDS * 5))
    assert found == [[item] for item in IDS * 5]


def test_joined_calls_are_few_requests_and_each_gets_its_own_answer(served: Path) -> None:
    async def whole() -> list[list[Answer]]:
        async with AsyncClient(batch_delay_ms=20) as client:
            await client.recommend([[IDS[0]]])  # it has looked what the model reads
            before = requests()
            found = await asyncio.gather(*(client.recommend([[item]], k=1) for item in IDS))
            assert requests() - before == 1
            return found

    assert [answer.items for (answer,) in asyncio.run(whole())] == [[item] for item in IDS]


def requests() -> int:
    (line,) = (line for line in metrics() if line.startswith("nv_inference_request_success"))
    return int(line.split()[-1])


def metrics() -> list[str]:
    page = httpx.get(f"http://127.0.0.1:{settings().triton_metrics_port}/metrics").text
    return [line for line in page.splitlines() if f'model="{settings().model_name}"' in line]


def test_the_metrics_carry_the_registry_version(served: Path) -> None:
    WAYS["http"]([[IDS[0]]])
    counted = [line for line in metrics() if line.startswith("nv_inference_count")]
    assert len(counted) == 1
    assert f'_registry_version="{VERSION}"' in counted[0]
    assert '_model_kind="first_item"' in counted[0]


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_documentation_run(served: Path, number: int) -> None:
    """docs/serving.md; its item ids are replaced by some that the test's model knows."""
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[number]
    example = example.replace("4804056", str(IDS[9])).replace("1004856", str(IDS[5])).replace("1005115", str(IDS[0]))
    found: dict[str, Any] = {}
    exec(compile(example, "docs/serving.md", "exec"), found)
    answer = found["answer"]
    assert isinstance(answer, Answer)
    assert answer.version == VERSION
    assert IDS[0] not in answer.items
    assert answer.items[0] == IDS[9] if number == 0 else IDS[9] not in answer.items
