"""What a person sees while a model trains: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time

EVERY_S = 10.0


class Progress:
    """Progress of one epoch. In a terminal it redraws itself; in a log it adds a line every 10 seconds; silent, none."""

    def __init__(self, title: str, events: int, silent: bool = False) -> None:
        self.title, self.events, self.done = title, events, 0
        self.begin = self.shown = time.monotonic()
        self.terminal, self.silent = sys.stderr.isatty(), silent

    def add(self, events: int) -> bool:
        """Count events; True if it is time to `show` (the caller then fetches the loss from the device)."""
        self.done += events
        return not self.silent and time.monotonic() - self.shown >= (0.2 if self.terminal else EVERY_S)

    def show(self, loss: float) -> None:
        self.shown = time.monotonic()
        share = self.done / max(self.events, 1)
        bar = f"{'━' * round(20 * share):20} " if self.terminal else ""
        line = f"{self.title} {bar}{share:4.0%}  loss {loss:.4f}  {self.rate():,.0f} events/s"
        print(line, end="\r" if self.terminal else "\n", file=sys.stderr, flush=True)

    def rate(self) -> float:
        """Events per second since the epoch began."""
        return self.done / max(self.seconds(), 1e-9)

    def seconds(self) -> float:
        return time.monotonic() - self.begin

    def end(self, text: str) -> None:
        if not self.silent:
            print(f"{self.title} {text}".ljust(78 if self.terminal else 0), file=sys.stderr, flush=True)
