"""The platform's memory of crashes: supervisor tells this process of each, and it writes one line of JSON.

supervisor itself keeps the state of now only; a service that fell and got up again looks as if nothing had been.
Nor does it end what a fallen service leaves behind: the web server of `mlflow server` would live on without its
parent and hold the port that the next one needs. That is done here too.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
from supervisor.childutils import get_headers, listener

from infra.local import supervise
from pipelines.stores.settings import settings

FELL = ("PROCESS_STATE_EXITED", "PROCESS_STATE_BACKOFF")
"""Ended while it should run: after its start was over, or during it."""


def record(path: Path) -> None:
    """Serve supervisor's event protocol on standard input and output, for ever."""
    while True:
        headers, payload = listener.wait(sys.stdin, sys.stdout)
        if headers["eventname"] in FELL:
            service = get_headers(payload)["processname"]
            line = {"service": service, "event": headers["eventname"], "time": time.time()}
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            for process in supervise.leftovers(settings(), service):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        listener.ok(sys.stdout)


def count(path: Path) -> Counter[str]:
    """Service -> crashes since the platform was started."""
    if not path.exists():
        return Counter()
    return Counter(json.loads(line)["service"] for line in path.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    record(Path(sys.argv[1]))
