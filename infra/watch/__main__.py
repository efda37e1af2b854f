"""The watcher's loop: look, say what was done, sleep until something knocks or the time has come."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from infra.local import airflow, keys
from infra.watch import hook, listing
from infra.watch.reviews import Reviews
from pipelines.errors import PipelineError
from pipelines.review.work import WATCH
from pipelines.stores import publication, registry, webhooks
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server

PERIOD_S = 5.0
"""Between two looks; an answer of which no webhook tells is carried after at most this and the look itself."""
NEWEST = 100
"""Versions that are looked at."""
STALE_S = 60.0
"""A part that has not gone well for so long is reported as unwell."""


class Watch:
    """The parts of a look, and when each of them last went well."""

    def __init__(self) -> None:
        ours = settings()
        self.reviewing = Reviews(airflow.rest(ours, WATCH))
        self.server, self.form = Server(), ours.var / "versions.json"
        self.address = f"http://127.0.0.1:{ours.watch_port}{hook.PATH}"
        self.secret = keys.kept(ours.webhook_key_file)
        self.parts: dict[str, Callable[[], list[str]]] = {
            "webhook": self.subscribe,
            "versions": self.versions,
            "reviews": self.reviews,
            "triton": self.triton,
        }
        self.well_s: dict[str, float] = {}
        self.wrong: dict[str, str] = {}
        self.subscribed: bool | None = None

    def look(self) -> None:
        """Every part once; one that fails is said, and tried again next time."""
        for name, part in self.parts.items():
            try:
                for line in part():
                    print(line, flush=True)
            except Exception as error:  # whatever it is, the other parts go on: a full disk, an answer that is no JSON
                what = error.what if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
                if self.wrong.get(name) != what:
                    print(f"{name}: {error if isinstance(error, PipelineError) else what}", file=sys.stderr, flush=True)
                self.wrong[name] = what
            else:
                if self.wrong.pop(name, None):
                    print(f"{name}: goes well again", flush=True)
                self.well_s[name] = time.monotonic()

    def subscribe(self) -> list[str]:
        """Once: MLflow's server is asked to knock."""
        if self.subscribed is not None:
            return []
        self.subscribed = webhooks.subscribe(self.address, self.secret)
        told = f"MLflow knocks at {self.address}" if self.subscribed else "this MLflow keeps no webhooks"
        return [f"{told}; the registry is looked at every {PERIOD_S:.0f} s"]

    def reviews(self) -> list[str]:
        return self.reviewing.look(registry.versions(NEWEST))

    def versions(self) -> list[str]:
        named: dict[int, list[str]] = {}
        for alias in (registry.CHAMPION, registry.PREVIOUS, registry.CHALLENGER):
            found = registry.resolve(alias)
            if found is not None:
                named.setdefault(found.version, []).append(alias)
        listing.write(self.form, registry.versions(NEWEST), named)
        return []

    def triton(self) -> list[str]:
        done = publication.revive(self.server)
        return [done] if done else []

    def health(self) -> Mapping[str, Any]:
        now = time.monotonic()
        unwell = [name for name in self.parts if now - self.well_s.get(name, float("-inf")) > STALE_S]
        return {
            "well": not unwell,
            "unwell": {name: self.wrong.get(name, "not looked yet") for name in unwell},
            "webhook": self.subscribed,
        }


def main() -> None:
    """Until SIGTERM."""
    wake, stop = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        stop.set()
        wake.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    watch = Watch()
    door = hook.serve(settings().watch_port, watch.secret, wake.set, partial(watch.health))
    while not stop.is_set():
        wake.clear()
        watch.look()
        wake.wait(PERIOD_S)
    door.shutdown()


if __name__ == "__main__":
    try:
        main()
    except PipelineError as error:
        raise SystemExit(str(error)) from None
