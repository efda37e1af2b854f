"""The Triton server, its only home: is it there, load, unload, ask. HTTP; a client of its own for each thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

import numpy as np

from pipelines.errors import ServiceError
from pipelines.stores.answers import OUTPUTS, Answers, Request, join, parts
from pipelines.stores.settings import settings

TIMEOUT_S = 30.0
LOAD_TIMEOUT_S = 300.0
"""Loading holds the answer back until the new version is ready."""
NEXT = "make status shows whether Triton runs, make up starts it; then run this again"


class Server:
    """The server of the settings, or of another address (host:port)."""

    def __init__(self, url: str | None = None, timeout_s: float | None = None) -> None:
        self.url, self.timeout_s = url or settings().triton_url, timeout_s or TIMEOUT_S
        self._own = threading.local()

    def live(self) -> bool:
        try:
            with self._service("is Triton there"):
                return bool(self._client().is_server_live())
        except ServiceError:
            return False

    def check(self) -> None:
        """ServiceError if the server does not answer, or does not take our key: said before anything is changed."""
        with self._service("Triton does not answer"):
            if not self._client().is_server_live():
                raise ServiceError("Triton is not live", self.url, NEXT)
            self._client().get_model_repository_index(headers=_key())

    def load(self, model: str) -> None:
        """Take over what the model's folder holds now; what serves goes on serving until the new version is ready."""
        with self._service(f"Triton cannot load {model}", LOAD_TIMEOUT_S) as client:
            client.load_model(model, headers=_key())

    def unload(self, model: str) -> None:
        """End serving the model. Never to be used between two versions: every request in the gap would fail."""
        with self._service(f"Triton cannot unload {model}", LOAD_TIMEOUT_S) as client:
            client.unload_model(model, headers=_key())

    def versions(self, model: str) -> list[int]:
        """Versions that are ready."""
        with self._service("Triton does not answer"):
            index = self._client().get_model_repository_index(headers=_key())
        return sorted(int(one["version"]) for one in index if one["name"] == model and one.get("state") == "READY")

    def failure(self, model: str, version: str = "") -> str | None:
        """One real inference, of zeros: None if it was answered, else what the server says is wrong.

        The only sign of health: a server whose backend process has died calls itself and the model ready, and answers
        every request with an error after a second. ServiceError if the server is away or too slow to say anything.
        """
        import tritonclient.http as http
        from tritonclient.utils import InferenceServerException, triton_to_np_dtype

        with self._service(f"Triton does not answer for {model}"):
            try:
                declared = self._client().get_model_metadata(model, version)["inputs"]
                tensors = []
                for one in declared:
                    tensor = http.InferInput(one["name"], [max(1, int(size)) for size in one["shape"]], one["datatype"])
                    tensors.append(tensor.set_data_from_numpy(np.zeros(tensor.shape(), triton_to_np_dtype(one["datatype"]))))
                self._client().infer(model, tensors, model_version=version)
            except InferenceServerException as error:
                return " ".join(str(error).split())[:300]
        return None

    def inputs(self, model: str) -> dict[str, int]:
        """The inputs of the served model, and the events of a session that each of them holds."""
        with self._service(f"Triton does not serve {model}"):
            return widths_of(self._client().get_model_metadata(model))

    def ask(self, model: str, request: Request, version: int | None = None) -> tuple[Answers, int]:
        """Answers to any number of sessions, and the version that gave them."""
        given = [self._infer(model, part, version) for part in parts(request)]
        return join([answers for answers, _ in given]), given[-1][1]

    def _infer(self, model: str, request: Request, version: int | None) -> tuple[Answers, int]:
        import tritonclient.http as http

        asked, wanted = tensors(http, request)
        with self._service(f"Triton does not answer for {model}"):
            result = self._client().infer(model, asked, outputs=wanted, model_version=str(version or ""))
        return answers_of(result), int(result.get_response()["model_version"])

    def _client(self) -> Any:
        import tritonclient.http as http

        if not hasattr(self._own, "client"):
            self._own.client = http.InferenceServerClient(
                self.url, connection_timeout=min(5.0, self.timeout_s), network_timeout=self.timeout_s
            )
        return self._own.client

    @contextmanager
    def _service(self, what: str, timeout_s: float | None = None) -> Iterator[Any]:
        """A client (one that waits longer, if asked); its failures become ServiceError."""
        import tritonclient.http as http
        from tritonclient.utils import InferenceServerException

        patient = http.InferenceServerClient(self.url, network_timeout=timeout_s) if timeout_s else None
        try:
            yield patient or self._client()
        except InferenceServerException as error:
            raise ServiceError(what, f"{self.url}: {' '.join(str(error).split())[:600]}", NEXT) from None
        except (OSError, HTTPException) as error:  # refused, timed out, or broken in the middle of an answer
            raise ServiceError(what, f"{self.url}: {type(error).__name__} {error}", NEXT) from None
        finally:
            if patient:
                patient.close()


def widths_of(metadata: Mapping[str, Any]) -> dict[str, int]:
    """Of a model's inputs, by name: how many numbers each row of them holds."""
    return {one["name"]: int(one["shape"][-1]) for one in metadata["inputs"]}


def tensors(module: Any, request: Request) -> tuple[list[Any], list[Any]]:
    """Inputs, and outputs asked for, as tritonclient's module for HTTP or for gRPC wants them."""
    made = [module.InferInput(name, list(values.shape), "INT64") for name, values in request.items()]
    for tensor, values in zip(made, request.values(), strict=True):
        tensor.set_data_from_numpy(values)
    return made, [module.InferRequestedOutput(name) for name in OUTPUTS]


def answers_of(result: Any) -> Answers:
    """What tritonclient gave, over HTTP or gRPC."""
    return Answers(*(result.as_numpy(name) for name in OUTPUTS))


def _key() -> dict[str, str]:
    """The header that the model-control API asks for."""
    path = settings().triton_key_file
    try:
        return {"x-admin-key": path.read_text(encoding="ascii").strip()}
    except FileNotFoundError:
        raise ServiceError(
            "there is no key for Triton's model control", str(path), "make up makes it and starts Triton"
        ) from None
