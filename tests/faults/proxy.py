"""A wire between a client and a service that can be cut, slowed down or made deaf."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress


class Wire:
    """Listens on `port`, passes bytes on to `target` on this machine.

    delay_s  every piece from the client waits that long
    deaf     connections are taken and nothing is passed on
    """

    def __init__(self, target: int) -> None:
        self.target, self.delay_s, self.deaf = target, 0.0, False
        self.port = 0
        self._open: set[socket.socket] = set()
        self._server: socket.socket | None = None
        self.mend()

    def mend(self) -> None:
        """Connections are taken (again)."""
        if self._server is None:
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", self.port))
            server.listen(64)
            self.port, self._server = server.getsockname()[1], server
            threading.Thread(target=self._take, args=(server,), daemon=True).start()

    def cut(self) -> None:
        """New connections are refused, those that are open break."""
        if self._server:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
            self._server = None
        for one in list(self._open):
            self._end(one)

    def _take(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            self._open.add(client)
            try:
                service = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                self._end(client)
                continue
            self._open.add(service)
            threading.Thread(target=self._pass, args=(client, service, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(service, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, asked: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if asked:
                    time.sleep(self.delay_s)
                while self.deaf:
                    time.sleep(0.05)
                sink.sendall(data)
        self._end(source)
        self._end(sink)

    def _end(self, one: socket.socket) -> None:
        self._open.discard(one)
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
