"""A TCP proxy on loopback that drops or freezes connections.

Owns the connection of a client to a server, which a test can interrupt at any message. It is
independent of the protocol: a message is one read from the client, with everything that the
server sends until the next read.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Fault", "Proxy", "proxy"]

# What happens to a message: it does not reach the server; it does, but the response is lost; it
# and all later traffic wait until the proxy is restored.
Fault = Literal["lost", "unanswered", "frozen"]
_PIECE = 1 << 16


class Proxy:
    """A proxy to a server on loopback.

    Attributes
    ----------
    port
        Port on 127.0.0.1.
    messages
        Number of messages sent by clients.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.messages = 0
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._cut = self._stays = False
        self._planned: tuple[int, Fault] | None = None
        self._open: set[socket.socket] = set()
        self._clients: set[socket.socket] = set()
        self._deserted: set[socket.socket] = set()
        self.struck = threading.Event()
        """Set once a planned fault has happened."""
        threading.Thread(target=self._accept, daemon=True).start()

    def plan(self, message: int, fault: Fault, *, stays: bool = True) -> None:
        """Schedule a fault at a message, counted from now: the first is 1.

        Without `stays`, open connections end, but new ones are accepted.
        """
        with self._lock:
            self.struck.clear()
            self._stays = stays
            self._planned = (self.messages + message, fault)

    def cut(self) -> None:
        """Close all connections and reject new ones."""
        with self._lock:
            self._cut = True
        self._close_all()

    def freeze(self) -> None:
        """Stop all traffic; connections stay open and new ones are accepted."""
        self._flows.clear()

    def desert(self) -> None:
        """Close the client side of all connections without notice to the server."""
        with self._lock:
            clients, self._clients = self._clients, set()
            self._deserted |= clients
        for each in clients:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """Resume all traffic."""
        with self._lock:
            self._cut, self._planned = False, None
        self._flows.set()

    def close(self) -> None:
        """Close the proxy."""
        self.cut()
        self._flows.set()
        self._listener.close()

    def _close_all(self) -> None:
        with self._lock:
            sockets, self._open = self._open, set()
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
                self._clients.add(client)
            muted = threading.Event()
            for way in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(*way, muted), daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, sent: bool, muted: threading.Event
    ) -> None:
        """Forward data from one side to the other."""
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                fault = self._fault() if sent else None
                if fault == "lost":
                    self._strike()
                    break
                self._flows.wait()
                if fault == "unanswered":
                    muted.set()
                if not sent and muted.is_set():  # the server has processed the message and responds
                    self._strike()
                    break
                sink.sendall(data)
        if source in self._deserted or sink in self._deserted:
            return
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _fault(self) -> Fault | None:
        """Count a message; return its fault."""
        with self._lock:
            self.messages += 1
            if self._planned is None or self.messages != self._planned[0]:
                return None
            fault = self._planned[1]
            self._planned = None
        if fault == "frozen":
            self.freeze()
            self.struck.set()
        return fault

    def _strike(self) -> None:
        self.struck.set()  # before the client can notice
        if self._stays:
            self.cut()
        else:
            self._close_all()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """Yield a proxy to a port on loopback."""
    way = Proxy(target)
    try:
        yield way
    finally:
        way.close()
