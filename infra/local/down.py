"""Stop the platform; nothing of it is left running."""

from __future__ import annotations

import time

from infra.local import status, supervise, triton
from pipelines.stores.settings import settings


def main(argv: list[str]) -> int:
    begin, ours = time.monotonic(), status.in_use(settings())
    if not supervise.running(ours) and not supervise.processes(ours):
        print("nothing of the platform runs")
        return 0
    print("stopping the platform", flush=True)
    number = supervise.end(ours)
    triton.sweep_shared_memory()
    print(f"stopped {number} processes in {time.monotonic() - begin:.0f} s; none is left")
    return 0
