"""How long and how often one call is tried: always safe, because an inference changes nothing."""

from __future__ import annotations

import random
import time

from pipelines.stores.channel import AwayError

FIRST_PAUSE_S = 0.05


class Tries:
    """Of one call: a limit in time for all of them together, and pauses that double and vary by half.

    timeout_s  from now on
    retries    tries after the first
    least_s    a try that has less time left than this is not begun
    """

    def __init__(self, timeout_s: float, retries: int, least_s: float) -> None:
        self.until, self.retries, self.least_s = time.monotonic() + timeout_s, retries, least_s
        self.done = 0
        self.asked_anew = False

    def left_s(self) -> float:
        return max(self.until - time.monotonic(), self.least_s, 0.001)

    def pause_s(self, error: AwayError) -> float:
        """How long to wait before the next try; the error itself if there is none."""
        pause: float = FIRST_PAUSE_S * 2**self.done * random.uniform(0.5, 1.5)
        if self.done >= self.retries or time.monotonic() + pause + self.least_s >= self.until:
            raise error
        self.done += 1
        return pause
