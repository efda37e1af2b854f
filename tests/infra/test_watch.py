"""The watcher's door and its list: without a platform."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.local import ports
from infra.watch import hook, listing, reviews
from pipelines.errors import ServiceError
from pipelines.stores import registry
from pipelines.stores.registry import Version

SECRET = "between the two of us"


def headers(body: bytes, secret: str = SECRET, age_s: float = 0) -> dict[str, str]:
    """What MLflow sends (Standard Webhooks): the signature is over delivery, time and body."""
    stamp = str(int(time.time() - age_s))
    digest = hmac.new(secret.encode(), f"d-1.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"X-MLflow-Delivery-Id": "d-1", "X-MLflow-Timestamp": stamp, "X-MLflow-Signature": signature}


@pytest.fixture
def door() -> Iterator[tuple[str, threading.Event, dict[str, object]]]:
    (port,), knocked, state = ports.choose(1), threading.Event(), {"well": True}
    server = hook.serve(port, SECRET, knocked.set, lambda: state)
    yield f"http://127.0.0.1:{port}", knocked, state
    server.shutdown()
    server.server_close()


def test_a_signed_delivery_wakes_the_watcher(door: tuple[str, threading.Event, dict[str, object]]) -> None:
    url, knocked, _ = door
    assert httpx.post(f"{url}/mlflow", content=b"{}", headers=headers(b"{}")).status_code == 202
    assert knocked.is_set()


@pytest.mark.parametrize(
    "sent", [{}, headers(b"{}", secret="guessed"), headers(b"other"), headers(b"{}", age_s=3600), headers(b"{}", age_s=-3600)]
)
def test_a_delivery_that_mlflow_did_not_just_sign_is_refused(
    door: tuple[str, threading.Event, dict[str, object]], sent: dict[str, str]
) -> None:
    url, knocked, _ = door
    assert httpx.post(f"{url}/mlflow", content=b"{}", headers=sent).status_code == 403
    assert not knocked.is_set()


def test_health_is_said_by_status(door: tuple[str, threading.Event, dict[str, object]]) -> None:
    url, _, state = door
    assert httpx.get(f"{url}/health").status_code == 200
    state["well"] = False
    assert httpx.get(f"{url}/health").status_code == 503
    assert httpx.get(f"{url}/secrets").status_code == 404


def version(number: int, **tags: str) -> Version:
    return Version("shop", number, "run", "models:/m-1", "", {key.replace("_", "."): value for key, value in tags.items()})


def test_the_list_says_what_each_version_is(tmp_path: Path) -> None:
    versions = [version(3, model="gru4rec", gate_verdict="no", override_by="ann"), version(2, model="sasrec", gate_verdict="yes")]
    path = tmp_path / "versions.json"
    assert listing.write(path, versions, {2: ["champion"]})
    assert json.loads(path.read_text()) == [
        {"version": 3, "label": "3: gru4rec, gate no, overridden"},
        {"version": 2, "label": "2: sasrec, gate yes, champion"},
    ]
    assert not listing.write(path, versions, {2: ["champion"]})
    assert listing.write(path, versions, {})


class Runs:
    """Airflow, as far as the watcher asks it: one approval in some state, and what it was answered."""

    def __init__(self, state: str | None) -> None:
        self.state, self.given = state, list[str]()

    def task(self, dag: str, run: str, task: str) -> dict[str, str] | None:
        if dag == "broken":
            raise ServiceError("Airflow says 500", "there", "make status")
        return {"state": self.state, "queued_when": "noon"} if self.state else None

    def answer(self, dag: str, run: str, task: str, option: str, given: dict[str, str | None]) -> bool:
        self.given.append(option)
        return True


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[int, dict[str, str]]:
    """What is written into the registry; version -> tags."""
    written: dict[int, dict[str, str]] = {}
    monkeypatch.setattr(registry, "resolve", lambda alias: None)
    monkeypatch.setattr(registry, "get", lambda number: asked(number))
    monkeypatch.setattr(registry, "tag", lambda number, tags: written.setdefault(number, {}).update(tags))
    monkeypatch.setattr(registry, "untag", lambda number, keys: None)
    monkeypatch.setattr(reviews, "SETTLED_S", 0.0)
    return written


def asked(number: int, dag: str = "retrain") -> Version:
    return version(number, review="approved", review_answer="open", review_run=f"{dag}/r-{number}")


@pytest.mark.parametrize(("state", "given"), [("awaiting_input", ["Approve"]), ("queued", []), ("success", [])])
def test_an_answer_is_carried_to_the_run_once_it_waits(told: dict[int, dict[str, str]], state: str, given: list[str]) -> None:
    runs = Runs(state)
    reviews.Reviews(runs).look([asked(1)])  # type: ignore[arg-type]
    assert runs.given == given
    assert told == {}


@pytest.mark.parametrize("state", [None, "failed", "skipped"])
def test_an_answer_to_a_run_that_is_over_is_told(told: dict[int, dict[str, str]], state: str | None) -> None:
    reviews.Reviews(Runs(state)).look([asked(1)])  # type: ignore[arg-type]
    assert "no run waits for this answer" in told[1]["review.told"]


def test_one_version_that_fails_does_not_keep_the_others_from_their_answers(told: dict[int, dict[str, str]]) -> None:
    runs = Runs("awaiting_input")
    with pytest.raises(ServiceError):
        reviews.Reviews(runs).look([asked(2, dag="broken"), asked(1)])  # type: ignore[arg-type]
    assert runs.given == ["Approve"]
