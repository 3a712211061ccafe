"""Postings: the rows in which a term occurs, how often, and the commits of their lifetime.

Owns the arrays. A row that has been updated or deleted remains, with the commit that ended it, so
that one set of postings has the scores of every version: the statistics of the corpus are those of
the rows that are live at a commit.

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

# The parameters of BM25: the saturation of term frequency, and the weight of the text's length.
_K1 = 1.2
_B = 0.75


@dataclass(frozen=True)
class _Segment:
    """The postings of rows that were added together, in the order of their terms."""

    terms: np.ndarray[Any, Any]  # distinct, ascending
    starts: np.ndarray[Any, Any]  # of the postings of each term, and the end of the last
    slots: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]

    def find(self, term: int) -> slice:
        index = int(self.terms.searchsorted(term))
        if index == len(self.terms) or self.terms[index] != term:
            return slice(0, 0)
        return slice(int(self.starts[index]), int(self.starts[index + 1]))


class Postings:
    """The postings of one column.

    Examples
    --------
    >>> import numpy as np, pyarrow as pa
    >>> postings = Postings()
    >>> rids, born, ends = np.array([7, 8]), np.array([1, 1]), np.array([9, 9])
    >>> postings.add(rids, born, ends, pa.array(["a hook", "hook by hook"]))
    >>> rids, scores = postings.scores("Hook", commit=1)
    >>> rids.tolist(), scores.round(2).tolist()
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
        """Add rows, each with its text and the commits between which it is live."""
        import numpy as np

        analysed = occurrences(texts)
        vocabulary = self._vocabulary
        numbers = [vocabulary.setdefault(name, len(vocabulary)) for name in analysed.names]
        terms_by_name = np.array(numbers, np.int64)
        first, count = len(self._rids), len(rids)
        self._rids = np.concatenate([self._rids, rids])
        self._born = np.concatenate([self._born, born])
        self._ends = np.concatenate([self._ends, ends])
        lengths = np.bincount(analysed.texts, minlength=count)
        self._lengths = np.concatenate([self._lengths, lengths])
        if len(analysed.terms):
            keys = terms_by_name[analysed.terms] * count + analysed.texts
            keys.sort()
            starts = np.flatnonzero(np.diff(keys, prepend=-1))
            terms, slots = np.divmod(keys[starts], count)
            self._append(_segment(terms, slots + first, np.diff(starts, append=len(keys))))

    def _append(self, segment: _Segment) -> None:
        """Add a segment; small ones are merged, so that there are never many."""
        import numpy as np

        self._segments.append(segment)
        while len(self._segments) > 1:
            left, right = self._segments[-2:]
            if len(left.slots) > 2 * len(right.slots):
                break
            terms = np.concatenate(
                [np.repeat(part.terms, np.diff(part.starts)) for part in (left, right)]
            )
            order = np.argsort(terms, kind="stable")
            slots = np.concatenate([left.slots, right.slots])[order]
            counts = np.concatenate([left.counts, right.counts])[order]
            self._segments[-2:] = [_segment(terms[order], slots, counts)]

    def end(self, rids: np.ndarray[Any, Any], ends: np.ndarray[Any, Any]) -> None:
        """Set the commits at which live rows have ended."""
        import numpy as np

        order = np.argsort(rids)
        rids, ends = rids[order], ends[order]
        living = np.flatnonzero(np.isin(self._rids, rids) & (self._ends > ends.max()))
        self._ends[living] = ends[np.searchsorted(rids, self._rids[living])]

    def scores(self, query: str, commit: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the ids of the rows in which a term of the query occurs, and their BM25 scores.

        Parameters
        ----------
        commit
            The rows that are live at this commit form the corpus.
        """
        import numpy as np

        alive = (self._born <= commit) & (self._ends > commit)
        total = np.zeros(len(alive))
        corpus = int(alive.sum())
        mean = self._lengths[alive].mean() if corpus else 0.0
        for term, times in Counter(query_terms(query)).items():
            slots, counts = self._postings(term)
            live = alive[slots]
            slots, counts = slots[live], counts[live]
            if not len(slots):
                continue
            rarity = math.log1p((corpus - len(slots) + 0.5) / (len(slots) + 0.5))
            weight = _K1 * (1 - _B + _B * self._lengths[slots] / mean)
            total[slots] += times * rarity * counts / (counts + weight)
        hits = np.flatnonzero(total)
        return self._rids[hits], total[hits]

    def _postings(self, term: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        import numpy as np

        number = self._vocabulary.get(term, -1)
        parts = [(segment, segment.find(number)) for segment in self._segments]
        empty = np.empty(0, np.int64)
        return (
            np.concatenate([empty, *(segment.slots[part] for segment, part in parts)]),
            np.concatenate([empty, *(segment.counts[part] for segment, part in parts)]),
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
