"""What a vector index is, and how a store of them is opened.

Owns the contract (`VectorIndex`, `IndexStore`), the checks that every implementation
applies to what it is given, and the table of URL schemes. Must not import an
implementation, Chroma or NumPy before one is needed.

An index is a *cache* of what the tables hold. It may be behind: its *watermark* names the
last commit of which every vector is in. It may be emptied at any time, and then says so by
a watermark of -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from barbule.errors import ConfigurationError, VectorIndexError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

__all__ = [
    "Candidates",
    "Graph",
    "IndexStore",
    "Metric",
    "VectorIndex",
    "as_ids",
    "as_queries",
    "as_vectors",
    "open_store",
]

Metric = Literal["cosine", "ip", "l2"]


@dataclass(frozen=True)
class Graph:
    """How the graph of an approximate index is built and searched; counts when it is made.

    Attributes
    ----------
    m
        Links of a vector.
    ef_construction, ef_search
        How many vectors are looked at to choose the links, and to search. The latter is twice
        Chroma's own: recall on embeddings that do not cluster.
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

    What a caller owes: `upsert` and `delete` are given the changes of commits *after* the
    watermark, then `advance` is called. So whatever a crash leaves half done belongs to
    commits that a search reads exactly from the tables anyway.
    """

    @property
    def name(self) -> str:
        """The name the index was opened by."""
        ...

    @property
    def watermark(self) -> int:
        """The commit up to which the index is complete; -1 when it holds nothing to rely on."""
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
        """Remove vectors; ids that are not there are fine."""
        ...

    def advance(self, watermark: int) -> None:
        """Say that all vectors up to this commit are in; one before the present is ignored."""
        ...

    def search(self, query: npt.ArrayLike, k: int) -> list[Candidates]:
        """Find the nearest vectors.

        Parameters
        ----------
        query
            One query (dimension,) or several (n, dimension).
        k
            How many to return at most for each query.

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
    """Where vector indexes are kept."""

    @property
    def usable(self) -> bool:
        """Whether this process may use the store now; if not, search the tables exactly."""
        ...

    @property
    def reason(self) -> str | None:
        """Why the store is not usable, in words for the user; None when it is."""
        ...

    def open(self, name: str, dimension: int, metric: Metric) -> VectorIndex:
        """Open an index, made empty if it is missing, damaged or of another shape.

        Raises
        ------
        VectorIndexError
            If the store is not usable.
        """
        ...

    def drop(self, name: str) -> None:
        """Remove an index; one that is not there is fine."""
        ...

    def close(self) -> None:
        """Release what the store holds, for good: it is not usable then; twice is fine."""
        ...


def open_store(url: str, graph: Graph | None = None) -> IndexStore:
    """Open the store of vector indexes that a URL names.

    Parameters
    ----------
    url
        `chroma:///path` (absolute) or `chroma://path` (relative) for a directory of this
        machine, `chroma+http://host:port` or `chroma+https://host:port` for a server,
        `exact:` for plain arrays in memory.
    graph
        For stores that search approximately.

    Returns
    -------
    IndexStore
        Also when the store cannot be used now: its `usable` and `reason` say so.

    Raises
    ------
    ConfigurationError
        If the URL is none of these.

    Examples
    --------
    >>> store = open_store("exact:")
    >>> index = store.open("chunks.text", 2, "l2")
    >>> index.upsert([7, 8], [[0.0, 0.0], [3.0, 4.0]])
    >>> index.search([3.0, 4.0], k=1)[0].ids.tolist()
    [8]
    """
    scheme, colon, rest = url.partition(":")
    opener = _OPENERS.get(scheme)
    if not colon or opener is None:
        allowed = ", ".join(f"{known}:" for known in _OPENERS)
        raise ConfigurationError(
            f"no vector store goes by the scheme {scheme + colon!r}.",
            hint=f"Use one of {allowed} as in 'chroma:///data/vectors'.",
        )
    return opener(rest.removeprefix("//"), graph or Graph())


def _open_exact(rest: str, _graph: Graph) -> IndexStore:
    from barbule.indexes.exact import ExactStore

    if rest:
        raise ConfigurationError(
            "the exact vector store is in memory and takes no path.", hint="Write 'exact:'."
        )
    return ExactStore()


def _open_chroma(rest: str, graph: Graph) -> IndexStore:
    from barbule.indexes.chroma.embedded import ChromaStore

    if not rest:
        raise ConfigurationError(
            "the vector store names no directory.", hint="Write 'chroma:///data/vectors'."
        )
    return ChromaStore(rest, graph)


def _open_server(rest: str, graph: Graph, *, secure: bool) -> IndexStore:
    from urllib.parse import urlsplit

    from barbule.indexes.chroma.server import ChromaServerStore

    hint = "Write 'chroma+http://host:port'."
    parts = urlsplit(f"//{rest}")
    if parts.username is not None or parts.password is not None:
        # The URL is not shown: it holds a secret.
        raise ConfigurationError("the URL of the Chroma server holds credentials.", hint=hint)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(
            "the port of the Chroma server is not a number up to 65535.", hint=hint, value=rest
        ) from error
    if not host or parts.path.strip("/") or parts.query:
        raise ConfigurationError(
            "the Chroma server is named by a host and a port alone.", hint=hint, value=rest
        )
    return ChromaServerStore(host, port or (443 if secure else 8000), secure=secure, graph=graph)


_OPENERS: dict[str, Callable[[str, Graph], IndexStore]] = {
    "chroma": _open_chroma,
    "chroma+http": lambda rest, graph: _open_server(rest, graph, secure=False),
    "chroma+https": lambda rest, graph: _open_server(rest, graph, secure=True),
    "exact": _open_exact,
}


def as_ids(ids: npt.ArrayLike, *, name: str) -> npt.NDArray[np.int64]:
    """Return row identities as a flat int64 array, or refuse them."""
    import numpy as np

    given = np.asarray(ids)
    if given.size == 0:
        return np.empty(0, dtype=np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise VectorIndexError(
            f"index {name!r}: ids are a flat array of integers, "
            f"not {given.dtype} of shape {given.shape}.",
            hint="Pass the row identities of the table.",
        )
    return given.astype(np.int64, copy=False)


def as_vectors(
    ids: npt.ArrayLike, vectors: npt.ArrayLike, *, name: str, dimension: int, metric: Metric
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return ids and vectors fit for an index: checked, one vector for an id.

    Raises
    ------
    VectorIndexError
        If the shapes do not fit, or a vector cannot be compared by the metric; the message
        names the id.
    """
    import numpy as np

    keys = as_ids(ids, name=name)
    rows = _as_rows(vectors, name=name, dimension=dimension)
    if len(keys) != len(rows):
        raise VectorIndexError(
            f"index {name!r}: {len(keys)} ids came with {len(rows)} vectors.",
            hint="Pass one vector for each id.",
        )
    _refuse_incomparable(rows, metric, lambda at: f"index {name!r}: the vector of id {keys[at]}")
    last = len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1]
    if len(last) < len(keys):
        last.sort()
        keys, rows = keys[last], rows[last]
    return keys, rows


def as_queries(
    query: npt.ArrayLike, *, name: str, dimension: int, metric: Metric
) -> npt.NDArray[np.float32]:
    """Return one query or several as float32 of shape (n, dimension), or refuse them."""
    import numpy as np

    given = np.asarray(query)
    rows = _as_rows(
        given[None] if given.ndim == 1 and given.size else given, name=name, dimension=dimension
    )
    _refuse_incomparable(rows, metric, lambda at: f"index {name!r}: query {at}")
    return rows


def _as_rows(vectors: npt.ArrayLike, *, name: str, dimension: int) -> npt.NDArray[np.float32]:
    import numpy as np

    try:
        # A float64 beyond float32 becomes infinite here and is refused by name later.
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise VectorIndexError(
            f"index {name!r}: the vectors are not one rectangle of numbers.",
            hint=f"Pass float32 rows of {dimension} numbers.",
        ) from error
    if rows.size == 0 and rows.shape[0] == 0:
        return rows.reshape(0, dimension)
    if rows.ndim != 2 or rows.shape[1] != dimension:  # noqa: PLR2004 - said by the line itself
        raise VectorIndexError(
            f"index {name!r} holds vectors of {dimension} numbers, not of shape {rows.shape}.",
            hint="Use the embedding function that the index was made with, or rebuild the index.",
        )
    return rows


def _refuse_incomparable(
    rows: npt.NDArray[np.float32], metric: Metric, subject: Callable[[int], str]
) -> None:
    import numpy as np

    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    bad = np.flatnonzero(~np.isfinite(squares))
    if bad.size:
        raise VectorIndexError(
            f"{subject(int(bad[0]))} holds NaN, an infinite or a far too large number.",
            hint="Check what the embedding function returned for that row.",
        )
    # Below the smallest normal float32 the direction is lost to rounding as well.
    bad = np.flatnonzero(squares < np.finfo(np.float32).tiny) if metric == "cosine" else bad
    if bad.size:
        raise VectorIndexError(
            f"{subject(int(bad[0]))} is zero and has no cosine distance.",
            hint="Leave the row out (NULL), or use the metric 'l2' or 'ip'.",
        )
