"""The vectors that are searched, the filters, and what a side that searches them has to do."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from pathlib import Path

    from serve import Work

__all__ = ["DIMENSION", "SHARES", "K", "VectorSide", "Vectors"]

DIMENSION = 384
K = 10
QUERIES = 100
SHARES = (1.0, 0.5, 0.1, 0.05, 0.01, 0.001)


class Vectors:
    """Vectors in 200 clusters, or in none; queries of the same kind."""

    def __init__(self, rows: int, kind: str) -> None:
        chance = np.random.default_rng(0)
        centres = chance.normal(size=(200, DIMENSION)).astype("float32")

        def some(count: int) -> Any:
            noise = chance.normal(size=(count, DIMENSION)).astype("float32")
            if kind == "uniform":
                return noise
            return centres[chance.integers(0, 200, count)] + 0.5 * noise

        self.rows = some(rows)
        self.queries = some(QUERIES)
        self.share = chance.random(rows)

    @cached_property
    def arrow(self) -> pa.Table:
        """The rows as they are inserted."""
        flat = pa.array(self.rows.ravel())
        return pa.table(
            {
                "n": pa.array(np.arange(len(self.rows))),
                "share": pa.array(self.share),
                "v": pa.FixedSizeListArray.from_arrays(flat, DIMENSION),
            }
        )

    @cached_property
    def _lengths(self) -> Any:
        return np.linalg.norm(self.rows, axis=1)

    def nearest(self, query: int, share: float) -> set[int]:
        """Return the right rows, by brute force: roughly first, the best of them exactly."""
        kept, asked = np.flatnonzero(self.share < share), self.queries[query]
        roughly = (self.rows @ asked / self._lengths)[kept]
        kept = kept[np.argsort(-roughly)[: 10 * K]]
        rows = self.rows[kept].astype("float64")
        alike = rows @ asked.astype("float64") / np.linalg.norm(rows, axis=1)
        return set(kept[np.argsort(-alike)[:K]].tolist())


class VectorSide:
    """A side that holds the vectors; `search` is asked with one query after another."""

    def __init__(self, home: Path, films: Any) -> None:
        self.home, self.count, self.kind = home, films.count, "clustered"
        self.asked = 0

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors, made when they are first needed."""
        return Vectors(self.count, self.kind)

    def uniform(self) -> Work:
        """Have them without clusters."""
        self.kind = "uniform"
        return lambda: self.vectors, lambda _: None

    def clustered(self) -> Work:
        """Have them in clusters."""
        return lambda: self.vectors, lambda _: None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("search_") and name[7:].isdigit():
            return lambda: self._search(SHARES[int(name[7:])])
        raise AttributeError(name)

    def _search(self, share: float) -> Work:
        query = self.asked % QUERIES
        self.asked += 1
        return (
            lambda: self.search(self.vectors.queries[query], share),
            lambda found: {"query": query, "found": found},
        )

    def search(self, query: Any, share: float) -> list[int]:
        """Return the numbers of the nearest rows."""
        raise NotImplementedError
