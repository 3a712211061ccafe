"""Connections to a Chroma server, with limits of time.

Owns how long a question may take: Chroma's client waits without end.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["disconnect", "is_silence", "open_client"]

# What a search waits for. What fills an index has more time, as nobody waits for it.
_SEARCH_SECONDS = 1.0
_WRITE_SECONDS = 10.0
_CONNECT_SECONDS = 2.0


def open_client(host: str, port: int, *, secure: bool) -> Any:
    """Connect to a server; raises what Chroma and httpx do.

    Chroma's client asks the server some questions while it is made, before its limits can be set.
    """
    import chromadb  # noqa: F401 - it takes longer than a server may
    import httpx

    opening = _Opening(host, port, secure)
    thread = threading.Thread(target=opening.run, name="barbule-chroma", daemon=True)
    thread.start()
    if not opening.ended.wait(_CONNECT_SECONDS) and opening.abandon():
        raise httpx.ConnectTimeout(f"no answer in {_CONNECT_SECONDS:g} s")
    if opening.error is not None:
        raise opening.error
    opening.client._server._session.event_hooks = {"request": [_limit]}
    return opening.client


class _Opening:
    """A client that is being made, unless nobody waits for it any more."""

    def __init__(self, host: str, port: int, secure: bool) -> None:
        self._arguments = (host, port, secure)
        self._lock = threading.Lock()
        self._abandoned = False
        self.client: Any = None
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        """Make the client."""
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
        """Say that nobody waits any more; return whether that is in time."""
        with self._lock:
            self._abandoned = not self.ended.is_set()
            return self._abandoned


def _client(host: str, port: int, secure: bool) -> Any:
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False, _env_file=None)
    return chromadb.HttpClient(host, port, ssl=secure, settings=settings)


def _limit(request: httpx.Request) -> None:
    import httpx

    path = request.url.path
    reads = request.method == "GET" and not path.endswith("/count")
    seconds = _SEARCH_SECONDS if reads or path.endswith("/query") else _WRITE_SECONDS
    request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()


def is_silence(error: BaseException) -> bool:
    """Whether the server did not answer, or ended the connection; Chroma raises other errors."""
    import httpx

    found: BaseException | None = error
    while found is not None and not isinstance(found, httpx.TransportError):
        found = found.__cause__ or found.__context__
    return found is not None


def disconnect(client: Any) -> None:
    """Close a client, and its connections, which it leaves to the garbage collector."""
    sessions = [part._server._session for part in (client, client._admin_client)]
    client.close()
    for session in sessions:
        session.close()
