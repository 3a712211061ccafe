"""The protocols of vector indexes and of their stores.

An index is a *cache* of the vectors in a table. It may be behind: its *watermark* is the last
commit of which it has every vector. It may be emptied at any time; its watermark is -1 then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "Candidates",
    "Graph",
    "IndexStore",
    "Metric",
    "VectorIndex",
]

Metric = Literal["cosine", "ip", "l2"]


@dataclass(frozen=True)
class Graph:
    """The parameters of the HNSW graph of an approximate index; they apply when it is created.

    Attributes
    ----------
    m
        The number of links of a vector.
    ef_construction, ef_search
        The number of candidates when links are chosen, and when the graph is searched. The latter
        is twice Chroma's default, for the recall of embeddings that do not cluster.
    """

    m: int = 16
    ef_construction: int = 100
    ef_search: int = 200


@dataclass(frozen=True, eq=False)
class Candidates:
    """The nearest rows of one query, nearest first.

    Attributes
    ----------
    ids
        int64 row identities, shape (n,).
    distances
        float32, shape (n,): `1 - cosine` for "cosine", `1 - dot` for "ip", the *squared*
        Euclidean distance for "l2". Smaller is nearer for all three.
    """

    ids: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


class VectorIndex(Protocol):
    """The live vectors of one column, by row identity.

    A caller passes the changes of commits *after* the watermark to `upsert` and `delete`, then
    calls `advance`. What a crash leaves incomplete belongs to commits that a search reads exactly
    from the tables anyway.
    """

    @property
    def name(self) -> str:
        """The name the index was opened by."""
        ...

    @property
    def watermark(self) -> int:
        """The commit up to which the index is complete; -1 when its vectors are unreliable."""
        ...

    def count(self) -> int:
        """Return how many vectors are in the index."""
        ...

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        ...

    def upsert(self, ids: npt.ArrayLike, vectors: npt.ArrayLike) -> None:
        """Add vectors, replacing those of the same id; the last of equal ids wins.

        Parameters
        ----------
        ids
            int64 row identities, shape (n,); n may be of any size, 0 too.
        vectors
            float32, shape (n, dimension).

        Raises
        ------
        VectorIndexError
            If a vector has another dimension, is not finite, or is zero under "cosine"
            (nothing is written then); or if the index cannot be used.
        """
        ...

    def delete(self, ids: npt.ArrayLike) -> None:
        """Remove vectors; unknown ids are ignored."""
        ...

    def advance(self, watermark: int) -> None:
        """Set the watermark, once all vectors up to a commit are in; a lower one is ignored."""
        ...

    def search(self, query: npt.ArrayLike, k: int) -> list[Candidates]:
        """Find the nearest vectors.

        Parameters
        ----------
        query
            One query (dimension,) or several (n, dimension).
        k
            The maximum number of results for each query.

        Returns
        -------
        list of Candidates
            One for each query, nearest first.
        """
        ...

    def reset(self) -> None:
        """Empty the index: a new generation, with a watermark of -1."""
        ...


class IndexStore(Protocol):
    """A store of vector indexes."""

    @property
    def usable(self) -> bool:
        """Whether this process may use the store now; if not, searches read the tables exactly."""
        ...

    @property
    def reason(self) -> str | None:
        """Why the store is not usable, for messages; None when it is."""
        ...

    def open(self, name: str, dimension: int, metric: Metric) -> VectorIndex:
        """Open an index; it is created empty if it is missing, damaged or of another shape.

        Raises
        ------
        VectorIndexError
            If the store is not usable.
        """
        ...

    def drop(self, name: str) -> None:
        """Remove an index, if it exists."""
        ...

    def close(self) -> None:
        """Release the store's resources; it is not usable afterwards. Closing twice is fine."""
        ...
