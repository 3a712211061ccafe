"""A server that responds a few bytes at a time, longer than any time limit."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HEADERS", "dripping"]

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
_PAUSE = 0.05


@contextmanager
def dripping(head: bytes, piece: bytes, context=None) -> Iterator[str]:
    """Yield the address of a server that sends `head`, then `piece` repeatedly.

    Parameters
    ----------
    context
        TLS context, for a server with TLS.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def answer(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            speaking = context.wrap_socket(client, server_side=True) if context else client
            with speaking:
                speaking.recv(1 << 16)
                speaking.sendall(head)
                while not ended.wait(_PAUSE):
                    speaking.sendall(piece)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.close()
