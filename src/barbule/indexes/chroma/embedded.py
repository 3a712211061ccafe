"""Vector indexes kept by an embedded Chroma.

Owns the index and the store that callers see, and which stores of a process share a
directory. When a directory may be believed is `directory`'s to say; an index must not hold
what the tables do not hold too.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from barbule.errors import VectorIndexError
from barbule.indexes.base import Graph, as_ids, as_queries, as_vectors
from barbule.indexes.chroma.directory import Directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from barbule.indexes.base import Candidates, Metric
    from barbule.indexes.chroma.collection import Vectors

__all__ = ["ChromaIndex", "ChromaStore"]


class ChromaIndex:
    """A vector index in one collection of an embedded Chroma; made by `ChromaStore.open`.

    All handles on one index of a process see the same collection.
    """

    def __init__(self, directory: Directory, name: str, dimension: int, metric: Metric) -> None:
        self._directory = directory
        self.name = name
        self.dimension = dimension
        self.metric: Metric = metric

    def _vectors(self) -> Vectors:
        return self._directory.vectors(self.name, self.dimension, self.metric)

    @property
    def watermark(self) -> int:
        """The commit up to which the index is complete; -1 when it cannot be relied on."""
        try:
            self._vectors()
        except VectorIndexError:
            return -1
        return self._directory.state.indexes[self.name].watermark

    def count(self) -> int:
        """Return how many vectors are in the index."""
        target = self._vectors()
        with self._watched():
            return target.count()

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        target = self._vectors()
        with self._watched():
            return target.ids()

    def upsert(self, ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add vectors, replacing those of the same id."""
        keys, rows = as_vectors(
            ids, vectors, name=self.name, dimension=self.dimension, metric=self.metric
        )
        if len(keys):
            with self._writing() as target:
                target.put(keys, rows)

    def delete(self, ids: npt.ArrayLike) -> None:
        """Remove vectors; ids that are not there are fine."""
        keys = as_ids(ids, name=self.name)
        if len(keys):
            with self._writing() as target:
                target.remove(keys)

    @contextmanager
    def _writing(self) -> Iterator[Vectors]:
        with self._directory.guard:
            target = self._vectors()
            self._directory.mark(self.name)
            with self._watched():
                yield target

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Have the next opening look into whatever fails in here."""
        try:
            yield
        except VectorIndexError:
            self._directory.doubt(self.name, damaged=True)
            raise
        except BaseException:
            # An interrupt: half a write, but not a damaged index.
            self._directory.doubt(self.name, damaged=False)
            raise

    def advance(self, watermark: int) -> None:
        """Say that all vectors up to this commit are in; one before the present is ignored."""
        with self._directory.guard:
            self._vectors()
            if self._directory.failed(self.name):
                raise VectorIndexError(
                    f"index {self.name!r}: a write failed, so commit {watermark} may not be in.",
                    hint="Open the index again and repeat what follows its watermark.",
                )
            present = self.watermark
            self._directory.reach(self.name, max(present, watermark), self.count())

    def search(self, query: npt.ArrayLike, k: int) -> list[Candidates]:
        """Find the nearest vectors of one query or of several."""
        queries = as_queries(query, name=self.name, dimension=self.dimension, metric=self.metric)
        target = self._vectors()
        with self._watched():
            return target.nearest(queries, k)

    def reset(self) -> None:
        """Empty the index: a new generation, with a watermark of -1."""
        with self._directory.guard:
            self._vectors()
            with self._watched():
                self._directory.renew(self.name, self.dimension, self.metric)


_registry_guard = threading.Lock()
_registry: dict[tuple[int, Path], Directory] = {}


class ChromaStore:
    """The vector indexes of one directory, kept by an embedded Chroma.

    Parameters
    ----------
    path
        The directory; made when it is missing. One process owns it at a time, and `usable`
        is False in all others.
    graph
        How collections that are made are built; the first store of a directory decides.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = ChromaStore(folder.name)
    >>> index = store.open("chunks.text", dimension=2, metric="cosine")
    >>> index.upsert([7, 8], [[1.0, 0.0], [0.0, 1.0]])
    >>> index.advance(3)
    >>> store.close()
    >>> store = ChromaStore(folder.name)
    >>> index = store.open("chunks.text", dimension=2, metric="cosine")
    >>> index.watermark, index.search([0.1, 1.0], k=1)[0].ids.tolist()
    (3, [8])
    >>> store.close(); folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str], graph: Graph | None = None) -> None:
        self._root = Path(path).expanduser().resolve()
        with _registry_guard:
            key = (os.getpid(), self._root)
            if key not in _registry:
                _registry[key] = Directory(self._root, graph or Graph())
            self._directory = _registry[key]
            self._directory.shares += 1
        self._closed = False

    def _share(self) -> Directory:
        if self._closed:
            raise VectorIndexError(
                f"the vector store {self._root} is closed.", hint="Open the store again by its URL."
            )
        return self._directory

    @property
    def usable(self) -> bool:
        """Whether this process owns the directory; asking takes it over when it is free."""
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Why the store is not usable, None when it is."""
        return f"{self._root} was closed." if self._closed else self._directory.claim()

    def open(self, name: str, dimension: int, metric: Metric) -> ChromaIndex:
        """Open an index, empty if it is new, was damaged, or had another shape."""
        if dimension < 1:
            raise VectorIndexError(
                f"index {name!r}: a vector has at least one number, not {dimension}.",
                hint="Pass the dimension of the embedding function.",
            )
        directory = self._share()
        directory.open(name, dimension, metric)
        return ChromaIndex(directory, name, dimension, metric)

    def drop(self, name: str) -> None:
        """Remove an index; one that is not there is fine."""
        self._share().drop(name)

    def close(self) -> None:
        """Give up this share of the directory; the last one releases Chroma and the lock."""
        directory = self._directory
        with _registry_guard:
            if self._closed:
                return
            self._closed = True
            directory.shares -= 1
            if directory.shares:
                return
            _registry.pop((directory.pid, directory.root), None)
            directory.close()


def _close_all() -> None:
    for directory in list(_registry.values()):
        directory.close()


# A process that ends without closing its stores leaves them clean all the same.
atexit.register(_close_all)


def _renew_guard() -> None:
    """Give a forked child a guard of its own: the parent's may be held by a lost thread."""
    global _registry_guard  # noqa: PLW0603 - one state of the process
    _registry_guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_guard)
