"""Vector indexes in an embedded Chroma.

Owns the index and the store that callers use, and which stores of a process share a directory.
`directory` decides when a directory is reliable.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from barbule.errors import VectorIndexError
from barbule.indexes.base import Graph
from barbule.indexes.checks import checked_ids, checked_queries, checked_vectors
from barbule.indexes.chroma.directory import Directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from barbule.indexes.base import Candidates, Metric
    from barbule.indexes.chroma.collection import VectorCollection

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

    def _collection(self) -> VectorCollection:
        return self._directory.vectors(self.name, self.dimension, self.metric)

    @property
    def watermark(self) -> int:
        """The commit up to which the index is complete; -1 when its vectors are unreliable."""
        try:
            self._collection()
        except VectorIndexError:
            return -1
        return self._directory.state.indexes[self.name].watermark

    def count(self) -> int:
        """Return how many vectors are in the index."""
        collection = self._collection()
        with self._failures_recorded():
            return collection.count()

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        collection = self._collection()
        with self._failures_recorded():
            return collection.ids()

    def upsert(self, ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add vectors, replacing those of the same id."""
        keys, rows = checked_vectors(
            ids, vectors, name=self.name, dimension=self.dimension, metric=self.metric
        )
        if len(keys):
            with self._writing() as collection:
                collection.put(keys, rows)

    def delete(self, ids: npt.ArrayLike) -> None:
        """Remove vectors; unknown ids are ignored."""
        keys = checked_ids(ids, name=self.name)
        if len(keys):
            with self._writing() as collection:
                collection.remove(keys)

    @contextmanager
    def _writing(self) -> Iterator[VectorCollection]:
        with self._directory.guard:
            collection = self._collection()
            self._directory.mark_dirty(self.name)
            with self._failures_recorded():
                yield collection

    @contextmanager
    def _failures_recorded(self) -> Iterator[None]:
        """Have the index examined when it is next opened, if something fails in this context."""
        try:
            yield
        except VectorIndexError:
            self._directory.mark_failed(self.name, damaged=True)
            raise
        except BaseException:
            # An interrupt: an incomplete write, but no damaged index.
            self._directory.mark_failed(self.name, damaged=False)
            raise

    def advance(self, watermark: int) -> None:
        """Set the watermark, once all vectors up to a commit are in; a lower one is ignored."""
        with self._directory.guard:
            self._collection()
            if self._directory.failed(self.name):
                raise VectorIndexError(
                    f"index {self.name!r}: a write failed, so commit {watermark} may be "
                    "incomplete.",
                    hint="Open the index again and repeat the changes after its watermark.",
                )
            highest = max(self.watermark, watermark)
            self._directory.save_watermark(self.name, highest, self.count())

    def search(self, query: npt.ArrayLike, k: int) -> list[Candidates]:
        """Find the nearest vectors of one query or of several."""
        queries = checked_queries(
            query, name=self.name, dimension=self.dimension, metric=self.metric
        )
        collection = self._collection()
        with self._failures_recorded():
            return collection.nearest(queries, k)

    def reset(self) -> None:
        """Empty the index: a new generation, with a watermark of -1."""
        with self._directory.guard:
            self._collection()
            with self._failures_recorded():
                self._directory.recreate(self.name, self.dimension, self.metric)


_directories_guard = threading.Lock()
_directories: dict[tuple[int, Path], Directory] = {}


class ChromaStore:
    """The vector indexes of one directory, in an embedded Chroma.

    Parameters
    ----------
    path
        The directory; created when it is missing. One process owns it at a time, and `usable` is
        False in all others.
    graph
        The parameters of new collections; the first store of a directory decides.

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
        with _directories_guard:
            key = (os.getpid(), self._root)
            if key not in _directories:
                _directories[key] = Directory(self._root, graph or Graph())
            self._directory = _directories[key]
            self._directory.shares += 1
        self._closed = False

    def _open_directory(self) -> Directory:
        if self._closed:
            raise VectorIndexError(
                f"the vector store {self._root} is closed.",
                hint="Open the store again with its URL.",
            )
        return self._directory

    @property
    def usable(self) -> bool:
        """Whether this process owns the directory; it becomes the owner when there is none."""
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Why the store is not usable, None when it is."""
        return f"{self._root} was closed." if self._closed else self._directory.claim()

    def open(self, name: str, dimension: int, metric: Metric) -> ChromaIndex:
        """Open an index, empty if it is new, was damaged, or had another shape."""
        if dimension < 1:
            raise VectorIndexError(
                f"index {name!r}: the dimension must be 1 or more, not {dimension}.",
                hint="Pass the dimension of the embedding function.",
            )
        directory = self._open_directory()
        directory.open(name, dimension, metric)
        return ChromaIndex(directory, name, dimension, metric)

    def drop(self, name: str) -> None:
        """Remove an index, if it exists."""
        self._open_directory().drop(name)

    def close(self) -> None:
        """Release the directory; the last store of it closes Chroma and releases the lock."""
        directory = self._directory
        with _directories_guard:
            if self._closed:
                return
            self._closed = True
            directory.shares -= 1
            if directory.shares:
                return
            _directories.pop((directory.pid, directory.root), None)
            directory.close()


def _close_all() -> None:
    for directory in list(_directories.values()):
        directory.close()


# A process that ends without closing its stores leaves them clean, too.
atexit.register(_close_all)


def _reset_guard() -> None:
    """Replace the lock in a forked child: a thread of the parent may hold it."""
    global _directories_guard  # noqa: PLW0603 - one state of the process
    _directories_guard = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_guard)
