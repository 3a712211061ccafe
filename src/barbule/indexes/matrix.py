"""A matrix of vectors in memory: a search compares the query with all or some of them.

Owns the layout of vectors for scans by one matrix product, which vectors existed at a commit, and
which are so near that they are compared again in float64. Does not know tables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from barbule.indexes.base import Metric

    Ids = npt.NDArray[np.int64]
    Rows = npt.NDArray[np.float32]
    Scores = npt.NDArray[np.float64]

__all__ = ["Matrix", "comparable"]

T = TypeVar("T", bound=np.generic)

# Below this fraction of the vectors it is faster to copy them than to compare with all.
_MAX_COPIED_SHARE = 0.1
# Vectors whose score differs less from the k-th may come before it when compared in float64.
_SCORE_TOLERANCE = 1e-5
_MAX_TIES = 256
_NEVER = np.iinfo(np.int64).max  # the end of a live vector
_MAX_SCORES_PER_ROUND = 8_000_000  # of a search with many queries (32 MB)


def comparable(rows: Rows, metric: Metric) -> npt.NDArray[np.bool_]:
    """Return which vectors are comparable: finite ones, and for "cosine" those with a direction."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    mask: npt.NDArray[np.bool_] = np.isfinite(squares)
    if metric == "cosine":
        mask &= squares >= np.finfo(np.float32).tiny
    return mask


@dataclass(frozen=True, eq=False)
class _MatrixState:
    """The arrays of a matrix at one time, for concurrent readers.

    Later writes only add vectors after `count`, or set the end of a vector at a later commit, so
    that no reader has to wait for them. The slot of a vector is its index in the arrays.

    Attributes
    ----------
    ids, rows, squares
        The row id of each vector, its numbers, and the sum of their squares.
    began, ended
        The commits between which it was the vector of its row.
    count
        How many slots are in use.
    ordered
        The number of leading slots in row id order; their ids are distinct.
    live
        How many vectors have not ended.
    commit
        The latest commit.
    """

    ids: Ids
    rows: Rows
    squares: Rows
    began: Ids
    ended: Ids
    count: int = 0
    ordered: int = 0
    live: int = 0
    commit: int = 0

    def alive(self, commit: int | None) -> npt.NDArray[np.bool_] | None:
        """Return which vectors are those of a commit; None for all."""
        latest = commit is None or commit >= self.commit
        if latest and self.live == self.count:
            return None
        at = self.commit if commit is None else commit
        return (self.began[: self.count] <= at) & (self.ended[: self.count] > at)

    @cached_property
    def _unordered(self) -> tuple[Ids, Ids]:
        """The identities in the slots after the ordered ones, sorted, and their slots."""
        ids = self.ids[self.ordered : self.count]
        order = np.argsort(ids, kind="stable")
        return ids[order], order + self.ordered

    def slots(self, ids: Ids) -> Ids:
        """Return the slots of all vectors that rows have, or have had."""
        ordered_ids = self.ids[: self.ordered]
        positions = np.searchsorted(ordered_ids, ids)
        match = positions < self.ordered
        match[match] = ordered_ids[positions[match]] == ids[match]
        if self.ordered == self.count:
            return positions[match]
        unordered_ids, slots = self._unordered
        return np.concatenate([positions[match], slots[np.isin(unordered_ids, ids)]])


class Matrix:
    """Vectors by row identity, in one array, as they are and as they recently were.

    One thread at a time writes; any number of others read meanwhile.

    Parameters
    ----------
    dimension
        The length of a vector.
    metric
        "cosine", "ip" or "l2".

    Attributes
    ----------
    earliest_commit
        The earliest commit whose vectors are still available.

    Examples
    --------
    >>> matrix = Matrix(2, "cosine")
    >>> matrix.put(np.array([3, 5]), np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), commit=7)
    >>> matrix.remove(np.array([5]), commit=8)
    >>> query = np.array([0.0, 1.0], np.float32)
    >>> [matrix.nearest(query, 1, commit=commit)[0].tolist() for commit in (7, 8)]
    [[5], [3]]
    """

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self.metric: Metric = metric
        self.earliest_commit = 0
        empty = np.empty(0, np.int64)
        rows = np.empty((0, dimension), np.float32)
        self._state = _MatrixState(empty, rows, np.empty(0, np.float32), empty, empty)

    def __len__(self) -> int:
        return self._state.live

    @property
    def nbytes(self) -> int:
        """The memory of the arrays, in bytes."""
        state = self._state
        arrays = (state.ids, state.rows, state.squares, state.began, state.ended)
        return sum(array.nbytes for array in arrays)

    @property
    def ids(self) -> Ids:
        """The row ids of all vectors, in order."""
        state = self._state
        alive = state.alive(None)
        return np.sort(
            state.ids[: state.count] if alive is None else state.ids[: state.count][alive]
        )

    # Writing

    def reserve(self, count: int) -> None:
        """Allocate memory for so many vectors at once."""
        if count > len(self._state.ids):
            self._state = _grown(self._state, count)

    def put(self, ids: Ids, rows: Rows, *, commit: int = 0) -> None:
        """Add vectors, replacing those of the same identities; without those not comparable.

        Parameters
        ----------
        commit
            The commit at which they begin.
        """
        valid = comparable(rows, self.metric)
        if not valid.all():
            self.remove(ids[~valid], commit=commit)
            ids, rows = ids[valid], rows[valid]
        if not len(ids):
            return
        order = np.argsort(ids, kind="stable")
        ids, rows = ids[order], self._stored(rows[order])
        state = self._state
        last = state.ids[state.count - 1] if state.count else -1
        in_order = state.ordered == state.count and ids[0] > last
        if not in_order:
            state = self._end(ids, commit)
        end = state.count + len(ids)
        if end > len(state.ids):
            state = _grown(state, max(end, state.count + state.count // 8))
        new = slice(state.count, end)
        state.ids[new], state.rows[new] = ids, rows
        state.squares[new] = np.einsum("ij,ij->i", rows, rows)
        state.began[new], state.ended[new] = commit, _NEVER
        self._state = replace(
            state,
            count=end,
            ordered=end if in_order else state.ordered,
            live=state.live + len(ids),
            commit=max(state.commit, commit),
        )
        self._compact()

    def remove(self, ids: Ids, *, commit: int = 0) -> None:
        """Remove vectors from a commit on; unknown identities are ignored."""
        self._state = replace(self._end(ids, commit), commit=max(self._state.commit, commit))
        self._compact()

    def _stored(self, rows: Rows) -> Rows:
        if self.metric == "cosine":
            return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
        return np.asarray(rows, np.float32)

    def _end(self, ids: Ids, commit: int) -> _MatrixState:
        """End vectors at a commit; readers of earlier commits still see them."""
        state = self._state
        slots = state.slots(np.unique(ids))
        slots = slots[state.ended[slots] == _NEVER]
        state.ended[slots] = commit
        return replace(state, live=state.live - len(slots))

    def _compact(self) -> None:
        """Remove ended vectors from memory, if there are many."""
        state = self._state
        if state.count - state.live <= max(state.count // 4, 1024):
            return
        live = np.flatnonzero(state.ended[: state.count] == _NEVER)
        live = live[np.argsort(state.ids[live], kind="stable")]
        self.earliest_commit = state.commit  # first: readers check it last
        count = len(live)
        self._state = _MatrixState(
            state.ids[live],
            state.rows[live],
            state.squares[live],
            state.began[live],
            state.ended[live],
            count=count,
            ordered=count,
            live=count,
            commit=state.commit,
        )

    # Reading

    def nearest(
        self, query: Rows, k: int, among: Ids | None = None, *, commit: int | None = None
    ) -> tuple[Ids, Scores] | None:
        """Return the nearest vectors, nearest first, those of smaller identity before others.

        Parameters
        ----------
        query
            A vector.
        k
            The maximum number of results.
        among
            The row ids that are compared; None for all.
        commit
            The commit whose vectors are compared; by default the latest.

        Returns
        -------
        tuple or None
            Row ids, and similarities in float64: larger is nearer. None if the vectors of the
            commit are no longer available.
        """
        state = self._state
        chosen = self._among(state, among, commit)
        if chosen is not None and len(chosen) < _MAX_COPIED_SHARE * state.count:
            scores = self._query_scores(state.rows[chosen], state.squares[chosen], query)
            slots = chosen
        else:
            count = state.count
            scores = self._query_scores(state.rows[:count], state.squares[:count], query)
            slots = chosen if chosen is not None else np.arange(count)
            scores = scores if chosen is None else scores[chosen]
        best = _best(scores, k, self._margin(state, query), state.ids[slots])
        result = self._exact(state, slots[best], query, k)
        return None if commit is not None and commit < self.earliest_commit else result

    def _exact(self, state: _MatrixState, slots: Ids, query: Rows, k: int) -> tuple[Ids, Scores]:
        """Return the nearest of a few vectors, compared in float64."""
        rows, vector = state.rows[slots].astype(np.float64), query.astype(np.float64)
        if self.metric == "l2":
            scores = -np.linalg.norm(rows - vector, axis=1)
        else:
            scores = rows @ vector
            if self.metric == "cosine":
                scores /= np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
        ids = state.ids[slots]
        order = np.lexsort((ids, -scores))[:k]
        return ids[order], scores[order]

    @staticmethod
    def _among(state: _MatrixState, ids: Ids | None, commit: int | None) -> Ids | None:
        """Return the slots that are compared; None for all."""
        alive = state.alive(commit)
        if ids is None:
            return None if alive is None else np.flatnonzero(alive)
        slots = state.slots(ids)
        return slots if alive is None else slots[alive[slots]]

    def _query_scores(self, rows: Rows, squares: Rows, query: Rows) -> Rows:
        """Return the sort keys of rows by their similarity to one query."""
        # Not with BLAS: its threads spin while they wait, even after the end, which saves a
        # millisecond on an idle machine, and costs ten if anything else runs.
        return self._orderable(np.einsum("ij,j->i", rows, query), squares)

    def _queries_scores(self, rows: Rows, squares: Rows, queries: Rows) -> Rows:
        """Return the sort keys of rows by their similarity to queries, the columns of a matrix."""
        return self._orderable(rows @ queries, squares[:, None])

    def _orderable(self, products: Rows, squares: Rows) -> Rows:
        """Convert inner products, in place, to sort keys of rows by their similarity."""
        if self.metric == "l2":
            products *= 2
            products -= squares
        return products

    def _margin(self, state: _MatrixState, query: Rows) -> float:
        if self.metric == "cosine":
            return _SCORE_TOLERANCE * float(np.linalg.norm(query))
        largest = float(state.squares[: state.count].max(initial=0.0))
        return _SCORE_TOLERANCE * (largest + float(query @ query))

    def pairs(
        self, queries: Rows, k: int, among: Ids | None = None, *, commit: int | None = None
    ) -> tuple[Ids, Ids, Scores] | None:
        """Return the k nearest vectors of each query: indexes of queries, identities, scores.

        None if the vectors of the commit are no longer available.
        """
        state = self._state
        slots = self._among(state, among, commit)
        rows, squares = state.rows[: state.count], state.squares[: state.count]
        if slots is None:
            slots = np.arange(state.count)
        else:
            rows, squares = rows[slots], squares[slots]
        query_indexes, identities = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        similarities = [np.empty(0, np.float64)]
        size = max(1, _MAX_SCORES_PER_ROUND // max(1, len(slots)))
        valid = np.flatnonzero(comparable(queries, self.metric))
        if k <= 0 or not len(slots):
            valid = valid[:0]
        for start in range(0, len(valid), size):
            batch = valid[start : start + size]
            scores = np.ascontiguousarray(self._queries_scores(rows, squares, queries[batch].T).T)
            for index, query_scores in zip(batch, scores, strict=True):
                query = queries[index]
                best = _best(query_scores, k, self._margin(state, query), state.ids[slots])
                ids, exact = self._exact(state, slots[best], query, k)
                query_indexes.append(np.full(len(ids), index, np.int64))
                identities.append(ids)
                similarities.append(exact)
        if commit is not None and commit < self.earliest_commit:
            return None
        return (
            np.concatenate(query_indexes),
            np.concatenate(identities),
            np.concatenate(similarities),
        )


def _grown(state: _MatrixState, capacity: int) -> _MatrixState:
    """Return the same state in larger arrays."""

    def grown(array: npt.NDArray[T]) -> npt.NDArray[T]:
        larger = np.empty((capacity, *array.shape[1:]), array.dtype)
        larger[: state.count] = array[: state.count]
        return larger

    return replace(
        state,
        ids=grown(state.ids),
        rows=grown(state.rows),
        squares=grown(state.squares),
        began=grown(state.began),
        ended=grown(state.ended),
    )


def _best(scores: Rows, k: int, margin: float, ids: Ids) -> Ids:
    """Return the indexes of the k largest scores, largest first, and of ties with the last."""
    indexes = np.arange(len(scores))
    if 0 < k < len(scores):
        last = np.partition(scores, len(scores) - k)[len(scores) - k]
        indexes = np.flatnonzero(scores >= last - margin)
    order = np.lexsort((ids[indexes], -scores[indexes]))
    return indexes[order][: k + _MAX_TIES if k > 0 else 0]
