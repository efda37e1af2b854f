"""A client of the served model that waits for its answers; may be shared between threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.errors import ParamsError
from pipelines.serve.limit import Limit
from pipelines.serve.requests import Answer, Event, Item, Requests
from pipelines.serve.tries import Tries
from pipelines.stores.answers import Request, join, parts
from pipelines.stores.channel import Answered, AwayError, RefusedError, channel
from pipelines.stores.settings import settings

__all__ = ["Answer", "Client", "Event", "Item"]


class Client:
    """Recommendations of the served model.

    url             host:port of Triton; default: the settings
    vocabulary      a version's vocabulary.parquet; needed where item ids are text
    timeout_s       limit of one call, with all its tries and waits. Over gRPC at least LEAST_GRPC_S, and best left far above
                    the slowest answer: a server that is given up on may crash (pipelines/stores/channel.py)
    protocol        http or grpc; gRPC needs less CPU on both sides
    retries         tries after the first where the server did not answer; never where it refused
    max_concurrent  requests on their way at once
    max_waiting     calls that may wait for that; any more end at once with OverloadedError
    """

    def __init__(
        self,
        url: str | None = None,
        vocabulary: Path | None = None,
        timeout_s: float = 5.0,
        *,
        protocol: str = "http",
        retries: int = 2,
        max_concurrent: int = 32,
        max_waiting: int = 256,
    ) -> None:
        self.channel, self.requests, self.model = channel(protocol, url), Requests(vocabulary), settings().model_name
        self.timeout_s, self.retries = patient(timeout_s, self.channel.least_s), retries
        self.limit = Limit(max_concurrent, max_waiting)
        self._widths: dict[str, int] | None = None

    def recommend(
        self,
        sessions: Sequence[Sequence[Item | Event]],
        k: int = 20,
        *,
        exclude_seen: bool | None = None,
        deny: Sequence[Item] = (),
    ) -> list[Answer]:
        """One answer for each session (most recent item last), at most k items each.

        exclude_seen  whether the session's own items are left out; None: as the version was registered
        deny          items that no answer of this call may hold

        DataError if the served model reads times or types of events and they are not given, or takes fewer denied items;
        ServiceError if Triton is away, OverloadedError (one of these) if too many calls wait.
        """
        if not sessions:
            return []
        tries = Tries(self.timeout_s, self.retries, self.channel.least_s)
        given, version = self._tried(tries, lambda: self._ask(sessions, exclude_seen, deny, tries))
        return self.requests.answers(given, version, k)

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self, sessions: Sequence[Sequence[Item | Event]], exclude_seen: bool | None, deny: Sequence[Item], tries: Tries
    ) -> Answered:
        if self._widths is None:
            self._widths = self.channel.widths(self.model)
        request = self.requests.request(sessions, self._widths, exclude_seen, deny)
        given = [self._infer(part, tries) for part in parts(request)]
        return join([answers for answers, _ in given]), given[-1][1]

    def _infer(self, part: Request, tries: Tries) -> Answered:
        with self.limit.slot(tries.left_s()):
            return self.channel.infer(self.model, part, tries.left_s())

    def _tried(self, tries: Tries, ask: Callable[[], Answered]) -> Answered:
        while True:
            try:
                return ask()
            except RefusedError:
                if tries.asked_anew:
                    raise
                tries.asked_anew = True
                self._widths = None  # a new version may read other inputs, or another length: look, and ask once more
            except AwayError as error:
                time.sleep(tries.pause_s(error))


def patient(timeout_s: float, least_s: float) -> float:
    """ParamsError if this protocol's requests may not be given up so early."""
    if timeout_s <= 0 or timeout_s < least_s:
        what = f"a time-out of {timeout_s} s is too short" + (" over gRPC: it can crash the server" if least_s else "")
        raise ParamsError(what, "Client(timeout_s=...)", f"at least {least_s} s, or use protocol='http'")
    return timeout_s
