"""Vector indexes on a Chroma server, shared by any number of processes.

Owns the connection and the watermark in a collection's metadata. The server looks after its
own files; what is believed here is that a collection and its metadata belong together. Keep
such a server on loopback or a private network: it has no authentication worth the name.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from barbule.errors import VectorIndexError
from barbule.indexes.base import Graph, as_ids, as_queries, as_vectors
from barbule.indexes.collections import (
    Vectors,
    collection_name,
    create_collection,
    generations,
    translated,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from barbule.indexes.base import Candidates, Metric

__all__ = ["ChromaServerIndex", "ChromaServerStore"]

_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 120.0
_RETRY_SECONDS = 5.0


class ChromaServerIndex:
    """A vector index in one collection of a Chroma server; made by `ChromaServerStore.open`.

    The handle stays with one generation until `watermark` is read or `reset` is called, so
    what was drained into a generation is never credited to another that replaced it.
    """

    def __init__(self, store: ChromaServerStore, vectors: Vectors, generation: int) -> None:
        self._store = store
        self._vectors = vectors
        self._generation = generation
        self.name = vectors.name

    @property
    def watermark(self) -> int:
        """The commit up to which the index is complete, asked of the server."""
        with self._store.guard:
            self._vectors, self._generation = self._store.find(
                self.name, self._vectors.dimension, self._vectors.metric
            )
            return _watermark(self._vectors.collection)

    def count(self) -> int:
        """Return how many vectors are in the index."""
        self._store.demand()
        return self._vectors.count()

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        self._store.demand()
        return self._vectors.ids()

    def upsert(self, ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add vectors, replacing those of the same id."""
        shape = self._vectors
        keys, rows = as_vectors(
            ids, vectors, name=self.name, dimension=shape.dimension, metric=shape.metric
        )
        self._store.demand()
        self._vectors.put(keys, rows)

    def delete(self, ids: npt.ArrayLike) -> None:
        """Remove vectors; ids that are not there are fine."""
        keys = as_ids(ids, name=self.name)
        self._store.demand()
        self._vectors.remove(keys)

    def advance(self, watermark: int) -> None:
        """Say that all vectors up to this commit are in; one before the present is ignored."""
        with self._store.guard:
            client = self._store.demand()
            with translated(f"index {self.name!r}", "be advanced"):
                # Read again: another process may have come further, or replaced the generation.
                now = client.get_collection(
                    collection_name(self.name, self._generation), embedding_function=None
                )
                if _watermark(now) < watermark:
                    now.modify(metadata={**(now.metadata or {}), "watermark": watermark})

    def search(self, query: npt.ArrayLike, k: int) -> list[Candidates]:
        """Find the nearest vectors of one query or of several."""
        shape = self._vectors
        queries = as_queries(query, name=self.name, dimension=shape.dimension, metric=shape.metric)
        self._store.demand()
        return self._vectors.nearest(queries, k)

    def reset(self) -> None:
        """Empty the index: a new generation, with a watermark of -1."""
        with self._store.guard:
            self._vectors, self._generation = self._store.renew(
                self.name, self._vectors.dimension, self._vectors.metric
            )


def _watermark(collection: Any) -> int:
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
        How collections that are made are built.

    Notes
    -----
    Credentials are Chroma's own matter: it reads `CHROMA_CLIENT_AUTH_PROVIDER` and
    `CHROMA_CLIENT_AUTH_CREDENTIALS` from the environment.
    """

    def __init__(
        self, host: str, port: int, *, secure: bool = False, graph: Graph | None = None
    ) -> None:
        self.guard = threading.RLock()
        self._graph = graph or Graph()
        self._host = host
        self._port = port
        self._secure = secure
        self._client: Any = None
        self._away: str | None = None
        self._closed = False
        self._asked = float("-inf")

    @property
    def usable(self) -> bool:
        """Whether the server answered; an absent one is asked again every few seconds."""
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Why the server cannot be used, None when it can."""
        with self.guard:
            if self._closed:
                return self._away
            if self._client is not None and not self._is_listening():
                self._disconnect()
            if self._client is None and time.monotonic() - self._asked >= _RETRY_SECONDS:
                self._away = self._connect()
                self._asked = time.monotonic()
            return self._away if self._client is None else None

    def _is_listening(self) -> bool:
        try:
            socket.create_connection((self._host, self._port), _CONNECT_SECONDS).close()
        except OSError:
            return False
        return True

    def _connect(self) -> str | None:
        where = f"the Chroma server at {self._host}:{self._port}"
        # Chroma's own client waits without end for a host that does not answer.
        if not self._is_listening():
            return f"{where} does not answer."
        import chromadb
        import httpx
        from chromadb.config import Settings

        try:
            with translated(where, "be reached"):
                client = chromadb.HttpClient(
                    self._host,
                    self._port,
                    ssl=self._secure,
                    settings=Settings(anonymized_telemetry=False, _env_file=None),
                )
                client._server._session.timeout = httpx.Timeout(_ANSWER_SECONDS)
        except VectorIndexError as error:
            return error.message
        self._client = client
        return None

    def demand(self) -> Any:
        """Return the client, or raise if the server was not there when last asked."""
        with self.guard:
            if self._client is None and self.reason is not None:
                raise VectorIndexError(
                    f"the vector store is not usable: {self._away}",
                    hint="Start the server; searches go on exactly in the database meanwhile.",
                )
            return self._client

    def open(self, name: str, dimension: int, metric: Metric) -> ChromaServerIndex:
        """Open an index, empty if it is new or had another shape."""
        if dimension < 1:
            raise VectorIndexError(
                f"index {name!r}: a vector has at least one number, not {dimension}.",
                hint="Pass the dimension of the embedding function.",
            )
        with self.guard:
            vectors, generation = self.find(name, dimension, metric)
            return ChromaServerIndex(self, vectors, generation)

    def find(self, name: str, dimension: int, metric: Metric) -> tuple[Vectors, int]:
        """Return the newest generation of an index, made if there is none of this shape."""
        client = self.demand()
        known = generations(client, name)
        if known:
            with translated(f"index {name!r}", "be opened"):
                found = client.get_collection(
                    collection_name(name, known[-1]), embedding_function=None
                )
            noted = found.metadata or {}
            if (noted.get("dimension"), noted.get("metric")) == (dimension, metric):
                return Vectors(name, found, dimension, metric), known[-1]
        return self.renew(name, dimension, metric)

    def renew(self, name: str, dimension: int, metric: Metric) -> tuple[Vectors, int]:
        """Make an empty next generation of an index and delete the earlier ones."""
        client = self.demand()
        old = generations(client, name)
        shape = {"dimension": dimension, "metric": metric, "watermark": -1}
        made, generation = create_collection(
            client, name, metric, graph=self._graph, metadata=shape
        )
        self._delete(client, name, old)
        return Vectors(name, made, dimension, metric), generation

    def drop(self, name: str) -> None:
        """Remove an index; one that is not there is fine."""
        with self.guard:
            client = self.demand()
            self._delete(client, name, generations(client, name))

    def _delete(self, client: Any, name: str, which: list[int]) -> None:
        from chromadb.errors import NotFoundError

        for generation in which:
            with translated(f"index {name!r}", "be deleted"):
                try:
                    client.delete_collection(collection_name(name, generation))
                except NotFoundError:
                    # Another process deleted it first.
                    continue

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            # Chroma 1.5 leaves the connections of its two HTTP sessions to the garbage collector.
            sessions = [part._server._session for part in (client, client._admin_client)]
            client.close()
            for session in sessions:
                session.close()

    def close(self) -> None:
        """Close the connection for good."""
        with self.guard:
            self._closed = True
            self._disconnect()
            self._away = "it was closed."
