"""The way of an application's requests to Triton: HTTP or gRPC, waiting or asynchronous. One try each; who asks retries.

A channel may be shared by threads (the asynchronous ones: by the tasks of one event loop). tritonclient's own HTTP client
may not: it is gevent's, and its asynchronous one has no limit in time for a whole request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import httpx

from pipelines.errors import ParamsError, ServiceError
from pipelines.stores.answers import Answers, Request
from pipelines.stores.settings import settings
from pipelines.stores.triton import NEXT, answers_of, tensors, widths_of

Answered = tuple[Answers, int]
"""The answers, and the version that gave them."""
LEAST_GRPC_S = 1.0
"""Triton 24.10 may crash when a gRPC request is given up while it waits in the server's queue (triton-inference-server/server
issue 7368): its limit in time must lie far above the slowest answer. HTTP has no such trap."""
CONNECTIONS = 128
METADATA_S = 5.0


class AwayError(ServiceError):
    """The server did not answer. Asking again is safe: an inference changes nothing."""


class RefusedError(ServiceError):
    """The server does not take this request: it serves no such model, or one with other inputs."""


class Channel(Protocol):
    least_s: float

    def widths(self, model: str) -> dict[str, int]: ...
    def infer(self, model: str, request: Request, timeout_s: float) -> Answered: ...
    def close(self) -> None: ...


class AsyncChannel(Protocol):
    least_s: float

    async def widths(self, model: str) -> dict[str, int]: ...
    async def infer(self, model: str, request: Request, timeout_s: float) -> Answered: ...
    async def close(self) -> None: ...


def address(protocol: str, url: str | None) -> str:
    """host:port; without `url` that of the settings. ParamsError for another protocol."""
    ports = {"http": settings().triton_http_port, "grpc": settings().triton_grpc_port}
    if protocol not in ports:
        raise ParamsError(f"there is no protocol {protocol!r}", "Client(protocol=...)", f"known: {', '.join(ports)}")
    return url or f"127.0.0.1:{ports[protocol]}"


def channel(protocol: str, url: str | None) -> Channel:
    return (HttpChannel if protocol == "http" else GrpcChannel)(address(protocol, url))


def async_channel(protocol: str, url: str | None) -> AsyncChannel:
    return (AsyncHttpChannel if protocol == "http" else AsyncGrpcChannel)(address(protocol, url))


class HttpChannel:
    least_s = 0.0

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=f"http://{url}", limits=httpx.Limits(max_connections=CONNECTIONS), trust_env=False)

    def widths(self, model: str) -> dict[str, int]:
        with http_failures(self.url):
            return widths_of(checked(self._http.get(f"/v2/models/{model}", timeout=METADATA_S), self.url).json())

    def infer(self, model: str, request: Request, timeout_s: float) -> Answered:
        content, headers = http_body(request)
        with http_failures(self.url):
            given = self._http.post(f"/v2/models/{model}/infer", content=content, headers=headers, timeout=timeout_s)
        return http_answers(checked(given, self.url))

    def close(self) -> None:
        self._http.close()


class AsyncHttpChannel:
    least_s = 0.0

    def __init__(self, url: str) -> None:
        self.url = url
        limits = httpx.Limits(max_connections=CONNECTIONS)
        self._http = httpx.AsyncClient(base_url=f"http://{url}", limits=limits, trust_env=False)

    async def widths(self, model: str) -> dict[str, int]:
        with http_failures(self.url):
            return widths_of(checked(await self._http.get(f"/v2/models/{model}", timeout=METADATA_S), self.url).json())

    async def infer(self, model: str, request: Request, timeout_s: float) -> Answered:
        content, headers = http_body(request)
        with http_failures(self.url):
            given = await self._http.post(f"/v2/models/{model}/infer", content=content, headers=headers, timeout=timeout_s)
        return http_answers(checked(given, self.url))

    async def close(self) -> None:
        await self._http.aclose()


class GrpcChannel:
    least_s = LEAST_GRPC_S

    def __init__(self, url: str) -> None:
        import tritonclient.grpc as grpc

        self.url, self._grpc = url, grpc.InferenceServerClient(url)

    def widths(self, model: str) -> dict[str, int]:
        with grpc_failures(self.url):
            return widths_of(self._grpc.get_model_metadata(model, as_json=True, client_timeout=METADATA_S))

    def infer(self, model: str, request: Request, timeout_s: float) -> Answered:
        inputs, outputs = grpc_tensors(request)
        with grpc_failures(self.url):
            return grpc_answers(self._grpc.infer(model, inputs, outputs=outputs, client_timeout=timeout_s))

    def close(self) -> None:
        self._grpc.close()


class AsyncGrpcChannel:
    least_s = LEAST_GRPC_S

    def __init__(self, url: str) -> None:
        import tritonclient.grpc.aio as grpc

        self.url, self._grpc = url, grpc.InferenceServerClient(url)

    async def widths(self, model: str) -> dict[str, int]:
        with grpc_failures(self.url):
            return widths_of(await self._grpc.get_model_metadata(model, as_json=True, client_timeout=METADATA_S))

    async def infer(self, model: str, request: Request, timeout_s: float) -> Answered:
        inputs, outputs = grpc_tensors(request)
        with grpc_failures(self.url):
            return grpc_answers(await self._grpc.infer(model, inputs, outputs=outputs, client_timeout=timeout_s))

    async def close(self) -> None:
        await self._grpc.close()


def http_body(request: Request) -> tuple[bytes, dict[str, str]]:
    import tritonclient.http as http

    asked, wanted = tensors(http, request)
    body, size = http.InferenceServerClient.generate_request_body(asked, outputs=wanted)
    return body, {"Inference-Header-Content-Length": str(size), "Content-Type": "application/octet-stream"}


def http_answers(given: httpx.Response) -> Answered:
    import tritonclient.http as http

    size = int(given.headers["Inference-Header-Content-Length"])
    result = http.InferenceServerClient.parse_response_body(given.content, header_length=size)
    return answers_of(result), int(result.get_response()["model_version"])


def checked(given: httpx.Response, url: str) -> httpx.Response:
    """AwayError where another try may help, RefusedError where it does not."""
    if given.is_success:
        return given
    said = f"{url}: {given.status_code} {' '.join(given.text.split())[:600]}"
    if given.status_code in (400, 404):
        raise RefusedError("Triton does not take the request", said, NEXT)
    raise AwayError("Triton does not answer", said, NEXT)


@contextmanager
def http_failures(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:  # refused, timed out, or broken in the middle of an answer
        raise AwayError("Triton does not answer", f"{url}: {type(error).__name__} {error}", NEXT) from None


def grpc_tensors(request: Request) -> tuple[list[Any], list[Any]]:
    import tritonclient.grpc as grpc

    return tensors(grpc, request)


def grpc_answers(result: Any) -> Answered:
    return answers_of(result), int(result.get_response().model_version)


@contextmanager
def grpc_failures(url: str) -> Iterator[None]:
    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as error:
        said = f"{url}: {error.status()} {' '.join(str(error.message()).split())[:600]}"
        refused = str(error.status()).removeprefix("StatusCode.") in ("INVALID_ARGUMENT", "NOT_FOUND")
        kind = RefusedError if refused else AwayError
        raise kind(f"Triton does not {'take the request' if refused else 'answer'}", said, NEXT) from None
