"""Vector indexes on a Chroma server, shared by any number of processes.

Owns the connection, and the watermark in the metadata of a collection. The server manages its own
files. Run such a server on loopback or a private network: it has no real authentication.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from barbule.errors import VectorIndexError
from barbule.indexes.base import Graph
from barbule.indexes.checks import checked_ids, checked_queries, checked_vectors
from barbule.indexes.chroma.collection import (
    VectorCollection,
    collection_name,
    create_collection,
    generations,
    translate_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

    from barbule.indexes.base import Candidates, Metric

__all__ = ["ChromaServerIndex", "ChromaServerStore"]

_CONNECT_SECONDS = 1.0
# The pause after which a server is retried that could not be reached, and one that accepted a
# request but did not answer: detecting the latter takes as long as a search waits.
_RETRY_SECONDS = 5.0
_RETRY_SILENT_SECONDS = 30.0


class ChromaServerIndex:
    """A vector index in one collection of a Chroma server; made by `ChromaServerStore.open`.

    It stays with one generation until `watermark` is read or `reset` is called, so that vectors
    written to a generation do not count for another that replaced it. No method waits for a server
    that has not answered recently.
    """

    def __init__(
        self, store: ChromaServerStore, collection: VectorCollection, generation: int
    ) -> None:
        self._store = store
        self._collection = collection
        self._generation = generation
        self.name = collection.name

    @property
    def watermark(self) -> int:
        """The commit up to which the index is complete, read from the server."""
        shape = self._collection
        self._collection, self._generation = self._store.find(
            self.name, shape.dimension, shape.metric
        )
        return _watermark(self._collection.collection)

    def count(self) -> int:
        """Return how many vectors are in the index."""
        with self._store.connected():
            return self._collection.count()

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        with self._store.connected():
            return self._collection.ids()

    def upsert(self, ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add vectors, replacing those of the same id."""
        shape = self._collection
        keys, rows = checked_vectors(
            ids, vectors, name=self.name, dimension=shape.dimension, metric=shape.metric
        )
        with self._store.connected():
            self._collection.put(keys, rows)

    def delete(self, ids: npt.ArrayLike) -> None:
        """Remove vectors; unknown ids are ignored."""
        keys = checked_ids(ids, name=self.name)
        with self._store.connected():
            self._collection.remove(keys)

    def advance(self, watermark: int) -> None:
        """Set the watermark, once all vectors up to a commit are in; a lower one is ignored."""
        with (
            self._store.write_lock,
            self._store.connected() as client,
            translate_errors(f"index {self.name!r}", "be advanced"),
        ):
            # Read again: another process may have written more, or replaced the generation.
            collection = client.get_collection(
                collection_name(self.name, self._generation), embedding_function=None
            )
            if _watermark(collection) < watermark:
                metadata = {**(collection.metadata or {}), "watermark": watermark}
                collection.modify(metadata=metadata)

    def search(self, query: npt.ArrayLike, k: int) -> list[Candidates]:
        """Find the nearest vectors of one query or of several."""
        shape = self._collection
        queries = checked_queries(
            query, name=self.name, dimension=shape.dimension, metric=shape.metric
        )
        with self._store.connected():
            return self._collection.nearest(queries, k)

    def reset(self) -> None:
        """Empty the index: a new generation, with a watermark of -1."""
        shape = self._collection
        self._collection, self._generation = self._store.recreate(
            self.name, shape.dimension, shape.metric
        )


def _watermark(collection: Collection) -> int:
    return int((collection.metadata or {}).get("watermark", -1))


class ChromaServerStore:
    """The vector indexes of one Chroma server.

    Parameters
    ----------
    host, port
        Where the server listens.
    secure
        Whether it speaks TLS.
    graph
        The parameters of new collections.

    Notes
    -----
    Credentials are Chroma's: it reads `CHROMA_CLIENT_AUTH_PROVIDER` and
    `CHROMA_CLIENT_AUTH_CREDENTIALS` from the environment.
    """

    def __init__(
        self, host: str, port: int, *, secure: bool = False, graph: Graph | None = None
    ) -> None:
        self.write_lock = threading.RLock()  # while collections are created, changed or dropped
        self._guard = threading.RLock()  # of the client and the state of the server
        self._graph = graph or Graph()
        self._host = host
        self._port = port
        self._secure = secure
        self._client: ClientAPI | None = None
        self._unavailable_reason: str | None = None
        self._closed = False
        self._retry_at = float("-inf")

    @property
    def usable(self) -> bool:
        """Whether the server answers; an unavailable one is retried every few seconds."""
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Why the server cannot be used, None if it can."""
        with self._guard:
            if self._closed:
                return self._unavailable_reason
            if self._client is not None and not self._is_listening():
                self._disconnect()
            if self._client is None and time.monotonic() >= self._retry_at:
                self._connect()
            return self._unavailable_reason if self._client is None else None

    def _is_listening(self) -> bool:
        try:
            socket.create_connection((self._host, self._port), _CONNECT_SECONDS).close()
        except OSError:
            return False
        return True

    def _connect(self) -> None:
        # The errors of Chroma's client say less about a host that does not answer.
        if not self._is_listening():
            self._mark_unavailable("does not answer.", _RETRY_SECONDS)
            return
        from barbule.indexes.chroma.http import is_connection_error, open_client

        try:
            with translate_errors(self._description, "be reached"):
                self._client = open_client(self._host, self._port, secure=self._secure)
        except VectorIndexError as error:
            if is_connection_error(error):
                self._mark_unavailable("does not answer.", _RETRY_SILENT_SECONDS)
            else:
                self._unavailable_reason = error.message
                self._retry_at = time.monotonic() + _RETRY_SECONDS

    @property
    def _description(self) -> str:
        return f"the Chroma server at {self._host}:{self._port}"

    def _mark_unavailable(self, reason: str, seconds: float) -> None:
        self._unavailable_reason = f"{self._description} {reason}"
        self._retry_at = time.monotonic() + seconds

    def require_client(self) -> ClientAPI:
        """Return the client, or raise if the server is unavailable."""
        with self._guard:
            if self._client is None and self.reason is not None:
                raise VectorIndexError(
                    f"the vector store is not usable: {self._unavailable_reason}",
                    hint="Start the server; until then searches are exact, in the database.",
                )
            return self._client

    @contextmanager
    def connected(self) -> Iterator[ClientAPI]:
        """Return the client in this context; record that the server does not answer."""
        from barbule.indexes.chroma.http import is_connection_error

        client = self.require_client()
        try:
            yield client
        except VectorIndexError as error:
            if is_connection_error(error):
                self._disconnect_unanswered(client)
            raise

    def _disconnect_unanswered(self, client: ClientAPI) -> None:
        """Disconnect for a while, unless another thread has connected since."""
        with self._guard:
            if self._client is client:
                self._mark_unavailable("does not answer in time.", _RETRY_SILENT_SECONDS)
                self._disconnect()

    def open(self, name: str, dimension: int, metric: Metric) -> ChromaServerIndex:
        """Open an index, empty if it is new or had another shape."""
        if dimension < 1:
            raise VectorIndexError(
                f"index {name!r}: the dimension must be 1 or more, not {dimension}.",
                hint="Pass the dimension of the embedding function.",
            )
        collection, generation = self.find(name, dimension, metric)
        return ChromaServerIndex(self, collection, generation)

    def find(self, name: str, dimension: int, metric: Metric) -> tuple[VectorCollection, int]:
        """Return the newest generation of an index, created if there is none of this shape."""
        existing = self._find_existing(name, dimension, metric)
        if existing is not None:
            return existing
        with self.write_lock:
            # Another thread may have created it.
            existing = self._find_existing(name, dimension, metric)
            return existing or self.recreate(name, dimension, metric)

    def _find_existing(
        self, name: str, dimension: int, metric: Metric
    ) -> tuple[VectorCollection, int] | None:
        with self.connected() as client:
            numbers = generations(client, name)
            if not numbers:
                return None
            with translate_errors(f"index {name!r}", "be opened"):
                stored = client.get_collection(
                    collection_name(name, numbers[-1]), embedding_function=None
                )
        metadata = stored.metadata or {}
        if (metadata.get("dimension"), metadata.get("metric")) != (dimension, metric):
            return None
        return VectorCollection(name, stored, dimension, metric), numbers[-1]

    def recreate(self, name: str, dimension: int, metric: Metric) -> tuple[VectorCollection, int]:
        """Create an empty next generation of an index and delete the earlier ones."""
        metadata: dict[str, str | int] = {"dimension": dimension, "metric": metric, "watermark": -1}
        with self.write_lock, self.connected() as client:
            old = generations(client, name)
            stored, generation = create_collection(
                client, name, metric, graph=self._graph, metadata=metadata
            )
            self._delete(client, name, old)
        return VectorCollection(name, stored, dimension, metric), generation

    def drop(self, name: str) -> None:
        """Remove an index, if it exists."""
        with self.write_lock, self.connected() as client:
            self._delete(client, name, generations(client, name))

    def _delete(self, client: ClientAPI, name: str, numbers: list[int]) -> None:
        from chromadb.errors import NotFoundError

        for generation in numbers:
            with translate_errors(f"index {name!r}", "be deleted"):
                try:
                    client.delete_collection(collection_name(name, generation))
                except NotFoundError:
                    # Another process has deleted it.
                    continue

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            from barbule.indexes.chroma.http import disconnect

            disconnect(client)

    def close(self) -> None:
        """Close the connection for good."""
        with self._guard:
            self._closed = True
            self._disconnect()
            self._unavailable_reason = "it was closed."
