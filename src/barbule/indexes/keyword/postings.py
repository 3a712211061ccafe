"""Postings: in which rows a term occurs, how often, and between which commits the rows live.

Owns the arrays. A row that has been updated or deleted stays with the commit that ended it, so
that one set of postings gives the scores of every version: the statistics of the corpus are
counted among the rows that live at the commit that is asked for.

BM25 as Lucene computes it: S. Robertson, H. Zaragoza, *The Probabilistic Relevance Framework:
BM25 and Beyond* (2009); C. Kamphuis et al., *Which BM25 Do You Mean?* (2020).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.indexes.keyword.analysis import occurrences, query_terms

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["Postings"]

# How soon a term that occurs again counts less, and how much the length of a text matters.
_K1 = 1.2
_B = 0.75


@dataclass(frozen=True)
class _Segment:
    """The postings of rows that came together, in the order of their terms."""

    terms: np.ndarray[Any, Any]  # distinct, ascending
    starts: np.ndarray[Any, Any]  # where the postings of each term begin, and an end
    slots: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]

    def find(self, term: int) -> slice:
        place = int(self.terms.searchsorted(term))
        if place == len(self.terms) or self.terms[place] != term:
            return slice(0, 0)
        return slice(int(self.starts[place]), int(self.starts[place + 1]))


class Postings:
    """The postings of one column.

    Examples
    --------
    >>> import numpy as np, pyarrow as pa
    >>> postings = Postings()
    >>> rids, born, ends = np.array([7, 8]), np.array([1, 1]), np.array([9, 9])
    >>> postings.add(rids, born, ends, pa.array(["a hook", "hook by hook"]))
    >>> found, scores = postings.scores("Hook", commit=1)
    >>> found.tolist(), scores.round(2).tolist()
    ([7, 8], [0.09, 0.11])
    """

    def __init__(self) -> None:
        import numpy as np

        self._vocabulary: dict[str, int] = {}
        self._segments: list[_Segment] = []
        self._rids = self._born = self._ends = self._lengths = np.empty(0, np.int64)

    def add(
        self,
        rids: np.ndarray[Any, Any],
        born: np.ndarray[Any, Any],
        ends: np.ndarray[Any, Any],
        texts: pa.Array,
    ) -> None:
        """Add rows, each with its text and the commits between which it lives."""
        import numpy as np

        found = occurrences(texts)
        known = self._vocabulary
        names = np.array([known.setdefault(n, len(known)) for n in found.names], np.int64)
        first, count = len(self._rids), len(rids)
        self._rids = np.concatenate([self._rids, rids])
        self._born = np.concatenate([self._born, born])
        self._ends = np.concatenate([self._ends, ends])
        lengths = np.bincount(found.texts, minlength=count)
        self._lengths = np.concatenate([self._lengths, lengths])
        if len(found.terms):
            keys = names[found.terms] * count + found.texts
            keys.sort()
            new = np.flatnonzero(np.diff(keys, prepend=-1))
            terms, slots = np.divmod(keys[new], count)
            self._append(_segment(terms, slots + first, np.diff(new, append=len(keys))))

    def _append(self, segment: _Segment) -> None:
        """Add a segment; small ones are merged, so that there are never many."""
        import numpy as np

        self._segments.append(segment)
        while len(self._segments) > 1:
            left, right = self._segments[-2:]
            if len(left.slots) > 2 * len(right.slots):
                break
            terms = np.concatenate(
                [np.repeat(each.terms, np.diff(each.starts)) for each in (left, right)]
            )
            order = np.argsort(terms, kind="stable")
            slots = np.concatenate([left.slots, right.slots])[order]
            counts = np.concatenate([left.counts, right.counts])[order]
            self._segments[-2:] = [_segment(terms[order], slots, counts)]

    def end(self, rids: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]) -> None:
        """Say at which commits living rows have ended."""
        import numpy as np

        order = np.argsort(rids)
        rids, ends = rids[order], ends[order]
        living = np.flatnonzero(np.isin(self._rids, rids) & (self._ends > ends.max()))
        self._ends[living] = ends[np.searchsorted(rids, self._rids[living])]

    def scores(self, query: str, commit: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the identities of the rows in which a term of the query occurs, and their BM25.

        Parameters
        ----------
        commit
            The rows that live at this commit are the corpus.
        """
        import numpy as np

        alive = (self._born <= commit) & (self._ends > commit)
        total = np.zeros(len(alive))
        corpus = int(alive.sum())
        mean = self._lengths[alive].mean() if corpus else 0.0
        for term, times in Counter(query_terms(query)).items():
            slots, counts = self._of(term)
            kept = alive[slots]
            slots, counts = slots[kept], counts[kept]
            if not len(slots):
                continue
            rarity = math.log1p((corpus - len(slots) + 0.5) / (len(slots) + 0.5))
            weight = _K1 * (1 - _B + _B * self._lengths[slots] / mean)
            total[slots] += times * rarity * counts / (counts + weight)
        hit = np.flatnonzero(total)
        return self._rids[hit], total[hit]

    def _of(self, term: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        import numpy as np

        number = self._vocabulary.get(term, -1)
        parts = [(each, each.find(number)) for each in self._segments]
        empty = np.empty(0, np.int64)
        return (
            np.concatenate([empty, *(each.slots[part] for each, part in parts)]),
            np.concatenate([empty, *(each.counts[part] for each, part in parts)]),
        )


def _segment(
    terms: np.ndarray[Any, Any], slots: np.ndarray[Any, Any], counts: np.ndarray[Any, Any]
) -> _Segment:
    """Make a segment of postings that are in the order of their terms."""
    import numpy as np

    starts = np.flatnonzero(np.diff(terms, prepend=-1))
    return _Segment(
        terms[starts],
        np.append(starts, len(terms)),
        slots.astype(np.int32),
        counts.astype(np.int32),
    )
