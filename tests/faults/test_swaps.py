"""Versions are swapped while clients ask: no request fails, every answer is that of one of the two."""

from __future__ import annotations

import threading

import pytest

from pipelines import rollback
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server
from tests.faults.conftest import WHOLE, Platform
from tests.pipelines.publishing import champion_serves, promoted, same

CLIENTS, SWAPS = 8, 100 if WHOLE else 6


@pytest.mark.timeout(1800)
def test_no_answer_is_lost_or_wrong_while_versions_are_swapped(platform: Platform, ready: tuple[int, int]) -> None:
    champion, challenger = ready
    stop, failures, counts = threading.Event(), [], dict.fromkeys(ready, 0)
    lock = threading.Lock()

    def client() -> None:
        server = Server()
        while not stop.is_set():
            try:
                got, version = server.ask(settings().model_name, platform.request)
                wrong = not same(platform.answers[version], got)
            except Exception as error:
                failures.append(f"{type(error).__name__}: {error}")
                continue
            with lock:
                counts[version] += 1
            if wrong:
                failures.append(f"a wrong answer in the name of version {version}")

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    try:
        promoted(challenger)
        for _ in range(SWAPS - 1):
            rollback.run()
    finally:  # a failure must not leave them asking for ever
        stop.set()
        for one in clients:
            one.join()
    print(f"{SWAPS} swaps, {sum(counts.values()):,} answers to {CLIENTS} clients: {counts}")
    assert failures == []
    assert min(counts.values()) > SWAPS
    champion_serves(challenger if SWAPS % 2 else champion)
