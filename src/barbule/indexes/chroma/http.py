"""Connections to a Chroma server, with timeouts.

Owns how long a request may take: Chroma's client has no timeouts.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx
    from chromadb.api import ClientAPI

__all__ = ["disconnect", "is_connection_error", "open_client"]

# Searches wait for these. Writes have longer timeouts, because nobody waits for them.
_SEARCH_SECONDS = 1.0
_WRITE_SECONDS = 10.0
_CONNECT_SECONDS = 2.0


def open_client(host: str, port: int, *, secure: bool) -> ClientAPI:
    """Connect to a server; raises the errors of Chroma and httpx.

    Chroma's client sends some requests when it is made, before timeouts can be set.
    """
    import chromadb  # noqa: F401 - its import takes longer than a server may
    import httpx

    opening = _Opening(host, port, secure)
    thread = threading.Thread(target=opening.run, name="barbule-chroma", daemon=True)
    thread.start()
    if not opening.ended.wait(_CONNECT_SECONDS) and opening.abandon():
        raise httpx.ConnectTimeout(f"no answer in {_CONNECT_SECONDS:g} s")
    if opening.error is not None:
        raise opening.error
    client = opening.client
    if client is None:
        raise httpx.ConnectError("the client could not be created")
    client._server._session.event_hooks = {"request": [_set_timeout]}
    return client


class _Opening:
    """The creation of a client in a thread, which may be abandoned."""

    def __init__(self, host: str, port: int, secure: bool) -> None:
        self._arguments = (host, port, secure)
        self._lock = threading.Lock()
        self._abandoned = False
        self.client: ClientAPI | None = None
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        """Create the client."""
        try:
            client = _client(*self._arguments)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error
            self.ended.set()
            return
        with self._lock:
            self.client = client
            abandoned = self._abandoned
            self.ended.set()
        if abandoned:
            disconnect(client)

    def abandon(self) -> bool:
        """Stop waiting for the client; return False if it has just been created."""
        with self._lock:
            self._abandoned = not self.ended.is_set()
            return self._abandoned


def _client(host: str, port: int, secure: bool) -> ClientAPI:
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False, _env_file=None)
    return chromadb.HttpClient(host, port, ssl=secure, settings=settings)


def _set_timeout(request: httpx.Request) -> None:
    import httpx

    path = request.url.path
    reads = request.method == "GET" and not path.endswith("/count")
    seconds = _SEARCH_SECONDS if reads or path.endswith("/query") else _WRITE_SECONDS
    request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()


def is_connection_error(error: BaseException) -> bool:
    """Whether the cause of Chroma's error is that the server did not answer, or disconnected."""
    import httpx

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, httpx.TransportError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def disconnect(client: ClientAPI) -> None:
    """Close a client and its connections, which Chroma leaves to the garbage collector."""
    sessions = [part._server._session for part in (client, client._admin_client)]
    client.close()
    for session in sessions:
        session.close()
