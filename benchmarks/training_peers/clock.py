"""Wall and CPU seconds of a process, and the JSON lines that the driver reads. Python's own library only."""

from __future__ import annotations

import json
import resource
import time
from typing import Any

BEGIN = time.monotonic()


def say(kind: str, values: dict[str, Any]) -> None:
    print(json.dumps({kind: values}), flush=True)


def imports_done() -> None:
    say("imports", {"cpu_s": now()[1], "wall_s": time.monotonic() - BEGIN})


def now() -> tuple[float, float]:
    """Wall and CPU (user + system, all threads) seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), used.ru_utime + used.ru_stime


class Watch:
    """Adds up the seconds between `start` and `stop`; what lies outside (evaluation) is not counted."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0
        self.start()

    def start(self) -> None:
        self.wall_began, self.cpu_began = now()

    def stop(self) -> dict[str, float]:
        """Seconds so far."""
        wall, cpu = now()
        self.wall_s += wall - self.wall_began
        self.cpu_s += cpu - self.cpu_began
        return {"train_wall_s": self.wall_s, "train_cpu_s": self.cpu_s}


def peak_rss_mib() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
