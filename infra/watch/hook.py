"""A door for MLflow's webhooks. A delivery carries no authority: it wakes the watcher, who looks into the registry itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATH = "/mlflow"
OLDEST_S = 300
"""Deliveries signed longer ago are not taken: a copy of one cannot be played back later."""
LARGEST = 2**20


def signed(headers: Mapping[str, str], body: bytes, secret: str, now_s: float) -> bool:
    """Whether MLflow, or somebody with the same secret, signed this delivery within OLDEST_S seconds (Standard Webhooks)."""
    delivery, stamp = headers.get("X-MLflow-Delivery-Id", ""), headers.get("X-MLflow-Timestamp", "")
    if not stamp.isdigit() or abs(now_s - int(stamp)) > OLDEST_S:
        return False
    digest = hmac.new(secret.encode(), f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return hmac.compare_digest(headers.get("X-MLflow-Signature", ""), f"v1,{base64.b64encode(digest).decode()}")


def serve(port: int, secret: str, wake: Callable[[], None], health: Callable[[], Mapping[str, Any]]) -> ThreadingHTTPServer:
    """Listens on the loopback address, in threads of its own, until `shutdown`. OSError if the port is taken."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that the server calls
            if self.path != "/health":
                self.reply(404, {"error": "GET /health, or POST /mlflow"})
                return
            found = dict(health())
            self.reply(200 if found["well"] else 503, found)

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            if self.path != PATH or size > LARGEST:
                self.reply(404, {"error": "POST /mlflow"})
                return
            if not signed(dict(self.headers.items()), self.rfile.read(size), secret, time.time()):
                self.reply(403, {"error": "the delivery is not signed with this platform's secret, or it is too old"})
                return
            wake()
            self.reply(202, {"status": "taken"})

        def reply(self, status: int, content: Mapping[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *words: Any) -> None:
            """Requests are not logged: health is asked for every few seconds."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Door)
    threading.Thread(target=server.serve_forever, name="hook", daemon=True).start()
    return server
