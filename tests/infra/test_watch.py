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
from infra.watch import hook, listing
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
