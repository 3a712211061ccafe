"""Vector indexes on a Chroma server, shared by any number of processes.

Owns the connection and the watermark in a collection's metadata. The server looks after its
own files; what is believed here is that a collection and its metadata belong together. Keep
such a server on loopback or a private network: it has no authentication worth the name.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from barbule.errors import VectorIndexError
from barbule.indexes.base import Graph, as_ids, as_queries, as_vectors
from barbule.indexes.chroma.collection import (
    Vectors,
    collection_name,
    create_collection,
    generations,
    translated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from barbule.indexes.base import Candidates, Metric

__all__ = ["ChromaServerIndex", "ChromaServerStore"]

_CONNECT_SECONDS = 1.0
# When a server is asked again that could not be reached, and one that accepted a question, but
# did not answer: to find that out takes as long as a search waits.
_RETRY_SECONDS = 5.0
_RETRY_SILENT_SECONDS = 30.0


class ChromaServerIndex:
    """A vector index in one collection of a Chroma server; made by `ChromaServerStore.open`.

    The handle stays with one generation until `watermark` is read or `reset` is called, so
    what was drained into a generation is never credited to another that replaced it. No method
    waits for a server that has not answered a moment ago.
    """

    def __init__(self, store: ChromaServerStore, vectors: Vectors, generation: int) -> None:
        self._store = store
        self._vectors = vectors
        self._generation = generation
        self.name = vectors.name

    @property
    def watermark(self) -> int:
        """The commit up to which the index is complete, asked of the server."""
        shape = self._vectors
        found, generation = self._store.find(self.name, shape.dimension, shape.metric)
        self._vectors, self._generation = found, generation
        return _watermark(found.collection)

    def count(self) -> int:
        """Return how many vectors are in the index."""
        with self._store.asking():
            return self._vectors.count()

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        with self._store.asking():
            return self._vectors.ids()

    def upsert(self, ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add vectors, replacing those of the same id."""
        shape = self._vectors
        keys, rows = as_vectors(
            ids, vectors, name=self.name, dimension=shape.dimension, metric=shape.metric
        )
        with self._store.asking():
            self._vectors.put(keys, rows)

    def delete(self, ids: npt.ArrayLike) -> None:
        """Remove vectors; ids that are not there are fine."""
        keys = as_ids(ids, name=self.name)
        with self._store.asking():
            self._vectors.remove(keys)

    def advance(self, watermark: int) -> None:
        """Say that all vectors up to this commit are in; one before the present is ignored."""
        what = f"index {self.name!r}"
        with self._store.writing, self._store.asking() as client, translated(what, "be advanced"):
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
        with self._store.asking():
            return self._vectors.nearest(queries, k)

    def reset(self) -> None:
        """Empty the index: a new generation, with a watermark of -1."""
        shape = self._vectors
        self._vectors, self._generation = self._store.renew(
            self.name, shape.dimension, shape.metric
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
        self.writing = threading.RLock()  # while collections are made, changed or dropped
        self._guard = threading.RLock()  # of what is known of the server
        self._graph = graph or Graph()
        self._host = host
        self._port = port
        self._secure = secure
        self._client: Any = None
        self._away: str | None = None
        self._closed = False
        self._next_try = float("-inf")

    @property
    def usable(self) -> bool:
        """Whether the server answered; an absent one is asked again every few seconds."""
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Why the server cannot be used, None when it can."""
        with self._guard:
            if self._closed:
                return self._away
            if self._client is not None and not self._is_listening():
                self._disconnect()
            if self._client is None and time.monotonic() >= self._next_try:
                self._connect()
            return self._away if self._client is None else None

    def _is_listening(self) -> bool:
        try:
            socket.create_connection((self._host, self._port), _CONNECT_SECONDS).close()
        except OSError:
            return False
        return True

    def _connect(self) -> None:
        # Chroma's own client says less of a host that does not answer.
        if not self._is_listening():
            self._note_away("does not answer.", _RETRY_SECONDS)
            return
        from barbule.indexes.chroma.http import is_silence, open_client

        try:
            with translated(self._where, "be reached"):
                self._client = open_client(self._host, self._port, secure=self._secure)
        except VectorIndexError as error:
            if is_silence(error):
                self._note_away("does not answer.", _RETRY_SILENT_SECONDS)
            else:
                self._away = error.message
                self._next_try = time.monotonic() + _RETRY_SECONDS

    @property
    def _where(self) -> str:
        return f"the Chroma server at {self._host}:{self._port}"

    def _note_away(self, reason: str, seconds: float) -> None:
        self._away = f"{self._where} {reason}"
        self._next_try = time.monotonic() + seconds

    def demand(self) -> Any:
        """Return the client, or raise if the server was not there when last asked."""
        with self._guard:
            if self._client is None and self.reason is not None:
                raise VectorIndexError(
                    f"the vector store is not usable: {self._away}",
                    hint="Start the server; searches go on exactly in the database meanwhile.",
                )
            return self._client

    @contextmanager
    def asking(self) -> Iterator[Any]:
        """Give the client meanwhile, and note that the server does not answer."""
        from barbule.indexes.chroma.http import is_silence

        client = self.demand()
        try:
            yield client
        except VectorIndexError as error:
            if is_silence(error):
                self._give_up(client)
            raise

    def _give_up(self, client: Any) -> None:
        """Ask the server no more for a while, unless somebody has reached it since."""
        with self._guard:
            if self._client is client:
                self._note_away("does not answer in time.", _RETRY_SILENT_SECONDS)
                self._disconnect()

    def open(self, name: str, dimension: int, metric: Metric) -> ChromaServerIndex:
        """Open an index, empty if it is new or had another shape."""
        if dimension < 1:
            raise VectorIndexError(
                f"index {name!r}: a vector has at least one number, not {dimension}.",
                hint="Pass the dimension of the embedding function.",
            )
        vectors, generation = self.find(name, dimension, metric)
        return ChromaServerIndex(self, vectors, generation)

    def find(self, name: str, dimension: int, metric: Metric) -> tuple[Vectors, int]:
        """Return the newest generation of an index, made if there is none of this shape."""
        found = self._found(name, dimension, metric)
        if found is None:
            with self.writing:  # another thread may just have made it
                found = self._found(name, dimension, metric) or self.renew(name, dimension, metric)
        return found

    def _found(self, name: str, dimension: int, metric: Metric) -> tuple[Vectors, int] | None:
        with self.asking() as client:
            known = generations(client, name)
            if not known:
                return None
            with translated(f"index {name!r}", "be opened"):
                found = client.get_collection(
                    collection_name(name, known[-1]), embedding_function=None
                )
        noted = found.metadata or {}
        fits = (noted.get("dimension"), noted.get("metric")) == (dimension, metric)
        return (Vectors(name, found, dimension, metric), known[-1]) if fits else None

    def renew(self, name: str, dimension: int, metric: Metric) -> tuple[Vectors, int]:
        """Make an empty next generation of an index and delete the earlier ones."""
        shape = {"dimension": dimension, "metric": metric, "watermark": -1}
        with self.writing, self.asking() as client:
            old = generations(client, name)
            made, generation = create_collection(
                client, name, metric, graph=self._graph, metadata=shape
            )
            self._delete(client, name, old)
        return Vectors(name, made, dimension, metric), generation

    def drop(self, name: str) -> None:
        """Remove an index; one that is not there is fine."""
        with self.writing, self.asking() as client:
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
            from barbule.indexes.chroma.http import disconnect

            disconnect(client)

    def close(self) -> None:
        """Close the connection for good."""
        with self._guard:
            self._closed = True
            self._disconnect()
            self._away = "it was closed."
