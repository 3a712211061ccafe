"""A way to a server on loopback whose answers come as slowly as a test says.

Owns the pace of what goes through. It knows of HTTP where headers end, and nothing else.
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

# What becomes of an answer: it never comes, it comes byte by byte, it ends behind its headers, its
# headers come at once and the rest byte by byte; or what the client sends is not taken.
Pace = Literal["silent", "dripping", "cut", "dripping body", "unread"]
_PAUSE = 0.05
_PIECE = 1 << 16


class SlowWay:
    """A TCP proxy.

    Attributes
    ----------
    port
        Where it listens on 127.0.0.1.
    pace
        How answers come; None: at once.
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
        """End everything."""
        self._ended.set()
        self._listener.close()
        for each in self._open:
            with contextlib.suppress(OSError):  # it has ended by itself
                each.shutdown(socket.SHUT_RDWR)
        for each in self._threads:
            each.join(PATIENCE)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                # Little may be on its way, so that what is not taken is noticed.
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
    """Give a way to a port of loopback."""
    way = SlowWay(target)
    try:
        yield way
    finally:
        way.close()
