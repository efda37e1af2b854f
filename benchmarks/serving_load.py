"""Load for `serving.py`, as a process of its own: clients that ask, wait for the answer and ask again. One line of JSON.

    python benchmarks/serving_load.py grpc 127.0.0.1:8001 requests.bin --clients 32 --seconds 3

Requests are bytes made before, so that this process needs little of the machine that the server needs too: for gRPC the
serialised ModelInferRequest, for HTTP the whole request. Answers are not looked into but for their status; `serving.py`
compares them with the file's before.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import uvloop

WARM_UP_S = 0.7
Ask = Callable[[bytes], Awaitable[None]]


def write(path: Path, requests: list[bytes]) -> None:
    path.write_bytes(b"".join(struct.pack("<I", len(one)) + one for one in requests))


def read(path: Path) -> list[bytes]:
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        (size,) = struct.unpack_from("<I", content, at)
        found.append(content[at + 4 : at + 4 + size])
        at += 4 + size
    return found


async def over_grpc(address: str, clients: int) -> tuple[list[Ask], Callable[[], Awaitable[None]]]:
    """All clients share one connection, as the threads of an application do."""
    import grpc

    channel = grpc.aio.insecure_channel(address)
    call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    async def ask(request: bytes) -> None:
        await call(request)

    return [ask] * clients, channel.close


async def over_http(address: str, clients: int) -> tuple[list[Ask], Callable[[], Awaitable[None]]]:
    """A connection for each client, kept alive."""
    host, port = address.split(":")
    ends = [await asyncio.open_connection(host, int(port)) for _ in range(clients)]

    def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Ask:
        async def ask(request: bytes) -> None:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:16]:
                raise RuntimeError(head.decode())
            size = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            await reader.readexactly(size)

        return ask

    async def close() -> None:
        for _, writer in ends:
            writer.close()

    return [client(*end) for end in ends], close


async def run(protocol: str, address: str, requests: list[bytes], clients: int, seconds: float) -> dict[str, float]:
    asks, close = await (over_grpc if protocol == "grpc" else over_http)(address, clients)
    taken: list[float] = []
    begin = time.perf_counter() + WARM_UP_S
    end = begin + seconds

    async def client(ask: Ask, turn: Iterator[bytes]) -> None:
        for request in turn:
            before = time.perf_counter()
            if before > end:
                return
            await ask(request)
            if before > begin:
                taken.append(time.perf_counter() - before)

    turns = [itertools.cycle(requests[number:] + requests[:number]) for number in range(clients)]
    cpu = time.process_time()
    await asyncio.gather(*(client(ask, turn) for ask, turn in zip(asks, turns, strict=True)))
    cpu = (time.process_time() - cpu) * seconds / (seconds + WARM_UP_S)
    await close()
    p50, p95, p99 = (float(value) * 1000 for value in np.percentile(taken, (50, 95, 99)))
    found = {"requests_per_s": len(taken) / seconds, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
    return {**found, "requests": len(taken), "load_cpu_s_per_1000": cpu / len(taken) * 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol", choices=("grpc", "http"))
    parser.add_argument("address")
    parser.add_argument("requests", type=Path)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    chosen = parser.parse_args()
    given = run(chosen.protocol, chosen.address, read(chosen.requests), chosen.clients, chosen.seconds)
    print(json.dumps(uvloop.run(given)))


if __name__ == "__main__":
    main()
