"""A TCP proxy on loopback that slows responses down.

Owns the pace of the traffic. Of HTTP it uses only the end of the headers.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Pace", "SlowWay", "slow_way"]

# Pace of a response: none; byte by byte; ends after the headers; headers at once and the body byte
# by byte; or the request is not read.
Pace = Literal["silent", "dripping", "cut", "dripping body", "unread"]
_PAUSE = 0.05
_PIECE = 1 << 16


class SlowWay:
    """A TCP proxy.

    Attributes
    ----------
    port
        Port on 127.0.0.1.
    pace
        Pace of responses; None for full speed.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.pace: Pace | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Close the proxy."""
        self._ended.set()
        self._listener.close()
        for each in self._open:
            with contextlib.suppress(OSError):  # already closed
                each.shutdown(socket.SHUT_RDWR)
        for each in self._threads:
            each.join(PATIENCE)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                # A small buffer, so that an unread request is noticed.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    raise
                self._open += (client, server)
                for way in (self._ask, self._answer):
                    thread = threading.Thread(target=way, args=(client, server), daemon=True)
                    thread.start()
                    self._threads.append(thread)

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_PIECE):
                server.sendall(data)
                while self.pace == "unread" and not self._ended.wait(_PAUSE):
                    pass
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), client, server:
            while data := server.recv(_PIECE):
                pace = self.pace
                while pace == "silent" and not self._ended.wait(_PAUSE):
                    pace = self.pace
                head, ending, body = data, b"", b""
                if pace == "dripping" or (pace and not data.startswith(b"HTTP/")):
                    head, body = b"", data
                elif pace:
                    head, ending, body = data.partition(b"\r\n\r\n")
                client.sendall(head + ending)
                if pace == "cut":
                    self._ended.wait()
                for place in range(len(body)):
                    if pace in {"dripping", "dripping body"} and self._ended.wait(_PAUSE):
                        return
                    client.sendall(body[place : place + 1])


@contextmanager
def slow_way(target: int) -> Iterator[SlowWay]:
    """Yield a slow proxy to a port on loopback."""
    way = SlowWay(target)
    try:
        yield way
    finally:
        way.close()
