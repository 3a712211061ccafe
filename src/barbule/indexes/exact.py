"""An exact index in arrays in memory: a search compares the query with every vector.

It is the reference for all indexes, and the one for sessions that write no index to disk. It does
not outlive its process.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from barbule.errors import VectorIndexError
from barbule.indexes.base import Candidates
from barbule.indexes.checks import checked_ids, checked_queries, checked_vectors

if TYPE_CHECKING:
    import numpy.typing as npt

    from barbule.indexes.base import Metric

__all__ = ["ExactIndex", "ExactStore"]


class ExactIndex:
    """A vector index that compares a query with all vectors; ties go to the smaller id.

    Parameters
    ----------
    name
        For messages.
    dimension
        The length of a vector.
    metric
        "cosine", "ip" or "l2".

    Examples
    --------
    >>> index = ExactIndex("films.plot", 2, "cosine")
    >>> index.upsert([1, 2], [[1.0, 0.0], [0.0, 1.0]])
    >>> index.search([0.0, 2.0], k=5)[0].ids.tolist()
    [2, 1]
    """

    def __init__(self, name: str, dimension: int, metric: Metric) -> None:
        self.name = name
        self.dimension = dimension
        self.metric: Metric = metric
        self._guard = threading.RLock()
        self._clear()

    def _clear(self) -> None:
        self._watermark = -1
        self._slots: dict[int, int] = {}
        self._ids = np.empty(0, dtype=np.int64)
        self._rows = np.empty((0, self.dimension), dtype=np.float32)

    @property
    def watermark(self) -> int:
        """The commit up to which the index is complete; -1 when there is none."""
        return self._watermark

    def count(self) -> int:
        """Return how many vectors are in the index."""
        return len(self._slots)

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        with self._guard:
            return np.sort(self._ids[: len(self._slots)])

    def upsert(self, ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add vectors, replacing those of the same id."""
        keys, rows = checked_vectors(
            ids, vectors, name=self.name, dimension=self.dimension, metric=self.metric
        )
        with self._guard:
            slots = np.empty(len(keys), dtype=np.int64)
            for index, key in enumerate(keys.tolist()):
                slots[index] = self._slots.setdefault(key, len(self._slots))
            self._grow(len(self._slots))
            self._ids[slots] = keys
            self._rows[slots] = rows

    def _grow(self, count: int) -> None:
        if count > len(self._ids):
            capacity = max(count, 2 * len(self._ids), 64)
            added = capacity - len(self._ids)
            self._ids = np.concatenate([self._ids, np.empty(added, dtype=np.int64)])
            self._rows = np.concatenate(
                [self._rows, np.empty((added, self.dimension), dtype=np.float32)]
            )

    def delete(self, ids: npt.ArrayLike) -> None:
        """Remove vectors; unknown ids are ignored."""
        with self._guard:
            for key in checked_ids(ids, name=self.name).tolist():
                slot = self._slots.pop(key, None)
                if slot is None:
                    continue
                # The last vector moves to this slot, so that the live ones stay contiguous.
                last = len(self._slots)
                if slot != last:
                    self._ids[slot] = self._ids[last]
                    self._rows[slot] = self._rows[last]
                    self._slots[int(self._ids[slot])] = slot

    def advance(self, watermark: int) -> None:
        """Set the watermark, once all vectors up to a commit are in; a lower one is ignored."""
        self._watermark = max(self._watermark, watermark)

    def search(self, query: npt.ArrayLike, k: int) -> list[Candidates]:
        """Find the nearest vectors of one query or of several."""
        queries = checked_queries(
            query, name=self.name, dimension=self.dimension, metric=self.metric
        )
        with self._guard:
            live = len(self._slots)
            ids, rows = self._ids[:live], self._rows[:live]
            norms = np.linalg.norm(rows, axis=1) if self.metric == "cosine" else None
            return [
                _nearest(ids, _distances(rows, vector, self.metric, norms), max(k, 0))
                for vector in queries
            ]

    def reset(self) -> None:
        """Empty the index."""
        with self._guard:
            self._clear()


def _distances(
    rows: npt.NDArray[np.float32],
    query: npt.NDArray[np.float32],
    metric: Metric,
    norms: npt.NDArray[np.float32] | None,
) -> npt.NDArray[np.float32]:
    if metric == "l2":
        differences = rows - query
        distances = np.einsum("ij,ij->i", differences, differences)
    else:
        similarities = rows @ query
        if norms is not None:
            similarities = similarities / (norms * np.linalg.norm(query))
        distances = np.float32(1) - similarities
    return np.asarray(distances, dtype=np.float32)


def _nearest(ids: npt.NDArray[np.int64], distances: npt.NDArray[np.float32], k: int) -> Candidates:
    nearest = np.arange(len(ids))
    if 0 < k < len(ids):
        # With all ties with the k-th, so that smaller ids win in any slot.
        nearest = np.flatnonzero(distances <= np.partition(distances, k - 1)[k - 1])
    order = nearest[np.lexsort((ids[nearest], distances[nearest]))][:k]
    return Candidates(ids[order], distances[order])


class ExactStore:
    """A store of indexes in memory; closing it drops them.

    Attributes
    ----------
    index_class
        The class of its indexes, for stores that derive from this one.
    """

    index_class: ClassVar[type[ExactIndex]] = ExactIndex

    def __init__(self) -> None:
        self._indexes: dict[str, ExactIndex] = {}
        self._closed = False

    @property
    def usable(self) -> bool:
        """Whether the store is open."""
        return not self._closed

    @property
    def reason(self) -> str | None:
        """Why the store is not usable, None when it is."""
        return "it was closed." if self._closed else None

    def open(self, name: str, dimension: int, metric: Metric) -> ExactIndex:
        """Open an index: the one of this store, or an empty one if its shape changed."""
        if self._closed:
            raise VectorIndexError("the vector store is closed.", hint="Open a new one.")
        if dimension < 1:
            raise VectorIndexError(
                f"index {name!r}: the dimension must be 1 or more, not {dimension}.",
                hint="Pass the dimension of the embedding function.",
            )
        index = self._indexes.get(name)
        if index is None or (index.dimension, index.metric) != (dimension, metric):
            index = self._indexes[name] = self.index_class(name, dimension, metric)
        return index

    def drop(self, name: str) -> None:
        """Remove an index, if it exists."""
        self._indexes.pop(name, None)

    def close(self) -> None:
        """Drop all indexes."""
        self._closed = True
        self._indexes.clear()
