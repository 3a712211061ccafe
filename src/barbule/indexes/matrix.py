"""A matrix of vectors in memory: every search compares with all of them, or with some.

Owns how vectors are laid out for scans by one matrix product, which of them were there at a
commit, and which rows are so near that an exact comparison has to look at them. Knows no tables.
The few that are returned are compared once more in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
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
_NEVER = np.iinfo(np.int64).max  # when a vector ends that has not ended
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


@dataclass(frozen=True, eq=False)
class _Slots:
    """The places of vectors as they were at one moment, for whoever reads them.

    What follows only writes behind them, or notes the end of a vector at a later commit; so no
    reader has to wait for it.

    Attributes
    ----------
    ids, rows, squares
        The identity of each vector, its numbers, and their squares' sum.
    began, ended
        The commits between which it was that of its row.
    count
        How many places are taken.
    ordered
        How many of the first are in the order of their identities, each of which is there once.
    live
        How many have not ended.
    commit
        The latest commit that they know of.
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
        """Say which vectors those of a commit are; None for all."""
        latest = commit is None or commit >= self.commit
        if latest and self.live == self.count:
            return None
        moment = self.commit if commit is None else commit
        return (self.began[: self.count] <= moment) & (self.ended[: self.count] > moment)

    @cached_property
    def _behind(self) -> tuple[Ids, Ids]:
        """The identities behind the ordered ones, in order, and their places."""
        ids = self.ids[self.ordered : self.count]
        order = np.argsort(ids, kind="stable")
        return ids[order], order + self.ordered

    def places(self, ids: Ids) -> Ids:
        """Return the places of all vectors that rows have, or have had."""
        there = self.ids[: self.ordered]
        first = np.searchsorted(there, ids)
        inside = first < self.ordered
        inside[inside] = there[first[inside]] == ids[inside]
        if self.ordered == self.count:
            return first[inside]
        behind, places = self._behind
        return np.concatenate([first[inside], places[np.isin(behind, ids)]])


class Matrix:
    """Vectors by row identity, in one array, as they are and as they lately were.

    One thread at a time writes; any number of others read meanwhile.

    Parameters
    ----------
    dimension
        How many numbers a vector has.
    metric
        "cosine", "ip" or "l2".

    Attributes
    ----------
    floor
        The earliest commit that can still be looked at.

    Examples
    --------
    >>> matrix = Matrix(2, "cosine")
    >>> matrix.put(np.array([3, 5]), np.array([[1.0, 0.0], [0.0, 2.0]], np.float32), commit=7)
    >>> matrix.remove(np.array([5]), commit=8)
    >>> asked = np.array([0.0, 1.0], np.float32)
    >>> [matrix.nearest(asked, 1, commit=commit)[0].tolist() for commit in (7, 8)]
    [[5], [3]]
    """

    def __init__(self, dimension: int, metric: Metric) -> None:
        self.dimension = dimension
        self.metric: Metric = metric
        self.floor = 0
        empty = np.empty(0, np.int64)
        rows = np.empty((0, dimension), np.float32)
        self._slots = _Slots(empty, rows, np.empty(0, np.float32), empty, empty)

    def __len__(self) -> int:
        return self._slots.live

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        slots = self._slots
        arrays = (slots.ids, slots.rows, slots.squares, slots.began, slots.ended)
        return sum(array.nbytes for array in arrays)

    @property
    def ids(self) -> Ids:
        """The identities of all vectors, in order."""
        slots = self._slots
        alive = slots.alive(None)
        return np.sort(
            slots.ids[: slots.count] if alive is None else slots.ids[: slots.count][alive]
        )

    # Writing

    def reserve(self, count: int) -> None:
        """Make room for so many vectors at once."""
        if count > len(self._slots.ids):
            self._slots = _grown(self._slots, count)

    def put(self, ids: Ids, rows: Rows, *, commit: int = 0) -> None:
        """Add vectors, in place of those of the same identities; what cannot be compared goes.

        Parameters
        ----------
        commit
            From which one on they are there.
        """
        fit = comparable(rows, self.metric)
        if not fit.all():
            self.remove(ids[~fit], commit=commit)
            ids, rows = ids[fit], rows[fit]
        if not len(ids):
            return
        order = np.argsort(ids, kind="stable")
        ids, rows = ids[order], self._stored(rows[order])
        slots = self._slots
        last = slots.ids[slots.count - 1] if slots.count else -1
        after = slots.ordered == slots.count and ids[0] > last
        if not after:
            slots = self._end(ids, commit)
        end = slots.count + len(ids)
        if end > len(slots.ids):
            slots = _grown(slots, max(end, slots.count + slots.count // 8))
        new = slice(slots.count, end)
        slots.ids[new], slots.rows[new] = ids, rows
        slots.squares[new] = np.einsum("ij,ij->i", rows, rows)
        slots.began[new], slots.ended[new] = commit, _NEVER
        self._slots = replace(
            slots,
            count=end,
            ordered=end if after else slots.ordered,
            live=slots.live + len(ids),
            commit=max(slots.commit, commit),
        )
        self._compact()

    def remove(self, ids: Ids, *, commit: int = 0) -> None:
        """Remove vectors from a commit on; identities that are not there are fine."""
        self._slots = replace(self._end(ids, commit), commit=max(self._slots.commit, commit))
        self._compact()

    def _stored(self, rows: Rows) -> Rows:
        if self.metric == "cosine":
            return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
        return np.asarray(rows, np.float32)

    def _end(self, ids: Ids, commit: int) -> _Slots:
        """Note that vectors end; who looks at a commit before sees them all the same."""
        slots = self._slots
        places = slots.places(np.unique(ids))
        places = places[slots.ended[places] == _NEVER]
        slots.ended[places] = commit
        return replace(slots, live=slots.live - len(places))

    def _compact(self) -> None:
        """Forget vectors that have ended, where they are many."""
        slots = self._slots
        if slots.count - slots.live <= max(slots.count // 4, 1024):
            return
        left = np.flatnonzero(slots.ended[: slots.count] == _NEVER)
        left = left[np.argsort(slots.ids[left], kind="stable")]
        self.floor = slots.commit  # first: who reads looks at it last
        count = len(left)
        self._slots = _Slots(
            slots.ids[left],
            slots.rows[left],
            slots.squares[left],
            slots.began[left],
            slots.ended[left],
            count=count,
            ordered=count,
            live=count,
            commit=slots.commit,
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
            How many are wanted.
        among
            The identities that are compared; None for all.
        commit
            Those of which are compared; by default the latest ones.

        Returns
        -------
        tuple or None
            Identities, and how similar each is, computed in float64: larger is nearer. None
            where those of the commit have been forgotten.
        """
        slots = self._slots
        chosen = self._among(slots, among, commit)
        if chosen is not None and len(chosen) < _FEW * slots.count:
            scores = self._compared(slots.rows[chosen], slots.squares[chosen], query)
            places = chosen
        else:
            count = slots.count
            scores = self._compared(slots.rows[:count], slots.squares[:count], query)
            places = chosen if chosen is not None else np.arange(count)
            scores = scores if chosen is None else scores[chosen]
        best = _best(scores, k, self._margin(slots, query), slots.ids[places])
        found = self._exact(slots, places[best], query, k)
        return None if commit is not None and commit < self.floor else found

    def _exact(self, slots: _Slots, places: Ids, query: Rows, k: int) -> tuple[Ids, Scores]:
        """Compare the few that are left once more, in float64."""
        rows, wanted = slots.rows[places].astype(np.float64), query.astype(np.float64)
        if self.metric == "l2":
            scores = -np.linalg.norm(rows - wanted, axis=1)
        else:
            scores = rows @ wanted
            if self.metric == "cosine":
                scores /= np.linalg.norm(rows, axis=1) * np.linalg.norm(wanted)
        ids = slots.ids[places]
        order = np.lexsort((ids, -scores))[:k]
        return ids[order], scores[order]

    @staticmethod
    def _among(slots: _Slots, ids: Ids | None, commit: int | None) -> Ids | None:
        """Return the places that are compared; None for all."""
        alive = slots.alive(commit)
        if ids is None:
            return None if alive is None else np.flatnonzero(alive)
        places = slots.places(ids)
        return places if alive is None else places[alive[places]]

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

    def _margin(self, slots: _Slots, query: Rows) -> float:
        if self.metric == "cosine":
            return _MARGIN * float(np.linalg.norm(query))
        largest = float(slots.squares[: slots.count].max(initial=0.0))
        return _MARGIN * (largest + float(query @ query))

    def pairs(
        self, queries: Rows, k: int, among: Ids | None = None, *, commit: int | None = None
    ) -> tuple[Ids, Ids, Scores] | None:
        """Return the k nearest vectors of each query: places of queries, identities, scores.

        None where the vectors of the commit have been forgotten.
        """
        whole = self._slots
        slots = self._among(whole, among, commit)
        rows, squares = whole.rows[: whole.count], whole.squares[: whole.count]
        if slots is None:
            slots = np.arange(whole.count)
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
                best = _best(each, k, self._margin(whole, queries[place]), whole.ids[slots])
                ids, exact = self._exact(whole, slots[best], queries[place], k)
                places.append(np.full(len(ids), place, np.int64))
                found.append(ids)
                alike.append(exact)
        if commit is not None and commit < self.floor:
            return None
        return np.concatenate(places), np.concatenate(found), np.concatenate(alike)


def _grown(slots: _Slots, capacity: int) -> _Slots:
    """Return the same places with room for more."""

    def grown(old: npt.NDArray[Any]) -> npt.NDArray[Any]:
        new = np.empty((capacity, *old.shape[1:]), old.dtype)
        new[: slots.count] = old[: slots.count]
        return new

    return replace(
        slots,
        ids=grown(slots.ids),
        rows=grown(slots.rows),
        squares=grown(slots.squares),
        began=grown(slots.began),
        ended=grown(slots.ended),
    )


def _best(scores: Rows, k: int, margin: float, ids: Ids) -> Ids:
    """Return the places of the largest scores, largest first, with those that tie with the last."""
    near = np.arange(len(scores))
    if 0 < k < len(scores):
        last = np.partition(scores, len(scores) - k)[len(scores) - k]
        near = np.flatnonzero(scores >= last - margin)
    return near[np.lexsort((ids[near], -scores[near]))][: k + _TIES if k > 0 else 0]
