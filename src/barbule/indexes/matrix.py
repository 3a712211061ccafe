"""A matrix of vectors in memory: every search compares with all of them, or with some.

Owns how vectors are laid out for scans by one matrix product, and which rows are so near that
an exact comparison has to look at them. Knows no tables. The few that are
returned are compared once more in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from barbule.indexes.base import Metric

    Ids = npt.NDArray[np.int64]
    Rows = npt.NDArray[np.float32]
    Scores = npt.NDArray[np.float64]

__all__ = ["Matrix", "comparable"]

# Below this share of the rows it is cheaper to copy them than to compare with all.
_FEW = 0.1
# Rows that are so near to the last of the k may come before it when compared exactly.
_MARGIN = 1e-5
_TIES = 256
# Numbers in the scores of one round of a search with many queries (32 MB).
_ROUND = 8_000_000


def comparable(rows: Rows, metric: Metric) -> npt.NDArray[np.bool_]:
    """Say which vectors can be compared: finite ones, and under "cosine" those with a direction."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    found = np.isfinite(squares)
    if metric == "cosine":
        found &= squares >= np.finfo(np.float32).tiny
    return found


class Matrix:
    """Vectors by row identity, in one array in the order of the identities.

    Parameters
    ----------
    dimension
        How many numbers a vector has.
    metric
        "cosine", "ip" or "l2".

    Examples
    --------
    >>> matrix = Matrix(2, "cosine")
    >>> matrix.put(np.array([3, 5]), np.array([[1.0, 0.0], [0.0, 2.0]], np.float32))
    >>> ids, scores = matrix.nearest(np.array([0.0, 1.0], np.float32), 1)
    >>> ids.tolist(), scores.tolist()
    ([5], [1.0])
    """

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self.metric: Metric = metric
        self._clear()

    def _clear(self) -> None:
        self._count = 0
        self._live = 0
        self._ids: Ids = np.empty(0, np.int64)
        self._rows: Rows = np.empty((0, self.dimension), np.float32)
        self._squares: Rows = np.empty(0, np.float32)
        self._alive: npt.NDArray[np.bool_] = np.empty(0, np.bool_)

    def __len__(self) -> int:
        return self._live

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return self._rows.nbytes + self._ids.nbytes + self._squares.nbytes + self._alive.nbytes

    @property
    def ids(self) -> Ids:
        """The identities of all vectors, in order."""
        ids = self._ids[: self._count]
        return ids if self._live == self._count else ids[self._alive[: self._count]]

    def reserve(self, count: int) -> None:
        """Make room for so many vectors at once."""
        if count > len(self._ids):
            self._grow(count)

    def put(self, ids: Ids, rows: Rows) -> None:
        """Add vectors, replacing those of the same identities; what cannot be compared goes."""
        fit = comparable(rows, self.metric)
        if not fit.all():
            self.remove(ids[~fit])
            ids, rows = ids[fit], rows[fit]
        if not len(ids):
            return
        order = np.argsort(ids, kind="stable")
        ids, rows = ids[order], self._stored(rows[order])
        if self._count and ids[0] <= self._ids[self._count - 1]:
            slots, known = self._slots(ids)
            self._set(slots, ids[known], rows[known])
            ids, rows = ids[~known], rows[~known]
        if len(ids):
            self._append(ids, rows)

    def _stored(self, rows: Rows) -> Rows:
        if self.metric == "cosine":
            return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
        return np.asarray(rows, np.float32)

    def _slots(self, ids: Ids) -> tuple[Ids, npt.NDArray[np.bool_]]:
        """Find the places of identities; those of the known ones, and which are known."""
        there = self._ids[: self._count]
        slots = np.searchsorted(there, ids)
        known = slots < self._count
        known[known] = there[slots[known]] == ids[known]
        return slots[known], known

    def _set(self, slots: Ids, ids: Ids, rows: Rows) -> None:
        self._live += int((~self._alive[slots]).sum())
        self._ids[slots] = ids
        self._rows[slots] = rows
        self._squares[slots] = np.einsum("ij,ij->i", rows, rows)
        self._alive[slots] = True

    def _append(self, ids: Ids, rows: Rows) -> None:
        behind = bool(self._count) and ids[0] < self._ids[self._count - 1]
        end = self._count + len(ids)
        if end > len(self._ids):
            self._grow(max(end, self._count + self._count // 8))
        slots = np.arange(self._count, end)
        self._count = end
        self._alive[slots] = False
        self._set(slots, ids, rows)
        if behind:
            self._arrange(np.argsort(self._ids[:end], kind="stable"))

    def _grow(self, capacity: int) -> None:
        for name in ("_ids", "_rows", "_squares", "_alive"):
            old = getattr(self, name)
            new = np.empty((capacity, *old.shape[1:]), old.dtype)
            new[: self._count] = old[: self._count]
            setattr(self, name, new)

    def _arrange(self, slots: Ids) -> None:
        """Keep these places, in this order."""
        for name in ("_ids", "_rows", "_squares", "_alive"):
            setattr(self, name, getattr(self, name)[slots])
        self._count = len(slots)

    def remove(self, ids: Ids) -> None:
        """Remove vectors; identities that are not there are fine."""
        slots, _ = self._slots(np.unique(ids))
        self._live -= int(self._alive[slots].sum())
        self._alive[slots] = False
        if self._count - self._live > max(self._count // 4, 1024):
            self._arrange(np.flatnonzero(self._alive[: self._count]))

    def nearest(self, query: Rows, k: int, among: Ids | None = None) -> tuple[Ids, Scores]:
        """Return the nearest vectors, nearest first, those of smaller identity before others.

        Parameters
        ----------
        query
            A vector.
        k
            How many are wanted.
        among
            The identities that are compared; None for all.

        Returns
        -------
        tuple
            Identities, and how similar each is, computed in float64: larger is nearer.
        """
        slots = self._among(among)
        if slots is not None and len(slots) < _FEW * self._count:
            scores, places = self._compared(self._rows[slots], self._squares[slots], query), slots
        else:
            scores = self._compared(self._rows[: self._count], self._squares[: self._count], query)
            places = slots if slots is not None else np.arange(self._count)
            scores = scores if slots is None else scores[slots]
        best = _best(scores, k, self._margin(query))
        return self._exact(places[best], query, k)

    def _exact(self, slots: Ids, query: Rows, k: int) -> tuple[Ids, Scores]:
        """Compare the few that are left once more, in float64."""
        rows, wanted = self._rows[slots].astype(np.float64), query.astype(np.float64)
        if self.metric == "l2":
            scores = -np.linalg.norm(rows - wanted, axis=1)
        else:
            scores = rows @ wanted
            if self.metric == "cosine":
                scores /= np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted)
        ids = self._ids[slots]
        order = np.lexsort((ids, -scores))[:k]
        return ids[order], scores[order]

    def _among(self, ids: Ids | None) -> Ids | None:
        if ids is None:
            return None if self._live == self._count else np.flatnonzero(self._alive[: self._count])
        slots, _ = self._slots(ids)
        return slots[self._alive[slots]]

    def _compared(self, rows: Rows, squares: Rows, query: Rows) -> Any:
        """Compare with one query."""
        # Not by BLAS: its threads wait for each other and spin on when they are done, which is
        # worth a millisecond on an idle machine, and costs ten where anything else runs.
        return self._nearer(np.einsum("ij,j->i", rows, query), squares)

    def _scores(self, rows: Rows, squares: Rows, queries: Rows) -> Any:
        """Compare with several queries, the columns of a matrix."""
        return self._nearer(rows @ queries, squares[:, None])

    def _nearer(self, products: Any, squares: Rows) -> Any:
        """Turn inner products into what orders rows as their similarity does."""
        if self.metric == "l2":
            products *= 2
            products -= squares
        return products

    def _margin(self, query: Rows) -> float:
        if self.metric == "cosine":
            return _MARGIN * float(np.linalg.norm(query))
        largest = float(self._squares[: self._count].max(initial=0.0))
        return _MARGIN * (largest + float(query @ query))

    def pairs(self, queries: Rows, k: int, among: Ids | None = None) -> tuple[Ids, Ids, Scores]:
        """Return the k nearest vectors of each query: places of queries, identities, scores."""
        slots = self._among(among)
        rows, squares = self._rows[: self._count], self._squares[: self._count]
        if slots is None:
            slots = np.arange(self._count)
        else:
            rows, squares = rows[slots], squares[slots]
        places, found = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        alike = [np.empty(0, np.float64)]
        size = max(1, _ROUND // max(1, len(slots)))
        fit: Any = np.flatnonzero(comparable(queries, self.metric)) if k > 0 and len(slots) else []
        for start in range(0, len(fit), size):
            asked = fit[start : start + size]
            scores = np.ascontiguousarray(self._scores(rows, squares, queries[asked].T).T)
            for place, each in zip(asked, scores, strict=True):
                best = _best(each, k, self._margin(queries[place]))
                ids, exact = self._exact(slots[best], queries[place], k)
                places.append(np.full(len(ids), place, np.int64))
                found.append(ids)
                alike.append(exact)
        return np.concatenate(places), np.concatenate(found), np.concatenate(alike)


def _best(scores: Rows, k: int, margin: float) -> Ids:
    """Return the places of the largest scores, largest first, with those that tie with the last."""
    near = np.arange(len(scores))
    if 0 < k < len(scores):
        last = np.partition(scores, len(scores) - k)[len(scores) - k]
        near = np.flatnonzero(scores >= last - margin)
    return near[np.argsort(-scores[near], kind="stable")][: k + _TIES if k > 0 else 0]
