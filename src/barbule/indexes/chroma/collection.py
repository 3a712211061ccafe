"""Vectors in one Chroma collection, wherever Chroma runs.

Owns how collections are named, made, written and asked, and that whatever Chroma throws
becomes a `VectorIndexError`. Knows no watermark and no files. Chroma is given float32 rows
under string ids and no metadata, which it would search slowly.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from barbule.errors import BarbuleError, VectorIndexError
from barbule.indexes.base import Candidates

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from barbule.indexes.base import Graph, Metric

__all__ = ["Vectors", "collection_name", "create_collection", "generations", "translated"]

_BATCH = 1000
_PAGE = 100
_IDS = 20_000
_LONGEST = 400
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


@contextmanager
def translated(subject: str, doing: str) -> Iterator[None]:
    """Turn what Chroma throws into a `VectorIndexError` that says what could not be done."""
    try:
        yield
    except BarbuleError:
        raise
    except BaseException as error:
        # A panic of Chroma's Rust half derives from BaseException, as an interrupt does.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise VectorIndexError(
            f"{subject} could not {doing}: {type(error).__name__}: {error}",
            hint="Open the index again; a damaged one is rebuilt from its table.",
        ) from error


def collection_name(name: str, generation: int) -> str:
    """Return the name of a collection, in the characters and the length that Chroma allows.

    Examples
    --------
    >>> collection_name("docs.text", 2)
    'bb-docs_2etext-g2'
    """
    return f"bb-{_encoded(name)}-g{generation}"


def _encoded(name: str) -> str:
    data = name.encode()
    plain = "".join(chr(one) if one in _PLAIN else f"_{one:02x}" for one in data)
    if len(plain) <= _LONGEST:
        return plain
    # "__" occurs in no encoded name, so a shortened one is not taken for another.
    return f"{plain[:300]}__{hashlib.sha256(data).hexdigest()}"


def generations(client: Any, name: str) -> list[int]:
    """Return the generations of an index that Chroma has, in order."""
    pattern = re.compile(re.escape(f"bb-{_encoded(name)}-g") + r"(\d+)")
    found: list[int] = []
    offset = 0
    with translated(f"index {name!r}", "be looked up"):
        while page := client.list_collections(limit=_PAGE, offset=offset):
            found += [int(hit[1]) for one in page if (hit := pattern.fullmatch(one.name))]
            offset += len(page)
    return sorted(found)


def create_collection(
    client: Any,
    name: str,
    metric: Metric,
    *,
    graph: Graph,
    above: int = 0,
    metadata: dict[str, Any] | None = None,
) -> tuple[Any, int]:
    """Make an empty collection of a generation beyond all that exist and beyond `above`."""
    generation = max([above, *generations(client, name)]) + 1
    with translated(f"index {name!r}", "be made"):
        made = client.create_collection(
            collection_name(name, generation),
            configuration={
                "hnsw": {
                    "space": metric,
                    # Writes of the graph cost time and leave something to damage, so not the
                    # default of 1000; from 5000 on, writing over vectors is ten times slower.
                    "sync_threshold": 2000,
                    "batch_size": _BATCH,
                    "max_neighbors": graph.m,
                    "ef_construction": graph.ef_construction,
                    "ef_search": graph.ef_search,
                }
            },
            metadata=metadata,
            embedding_function=None,
        )
    return made, generation


class Vectors:
    """The vectors of one collection.

    Parameters
    ----------
    name
        The index, for messages.
    collection
        A Chroma collection.
    dimension
        How many numbers a vector has.
    metric
        What the collection was made with.
    """

    def __init__(self, name: str, collection: Any, dimension: int, metric: Metric) -> None:
        self.name = name
        self.collection = collection
        self.dimension = dimension
        self.metric: Metric = metric

    def count(self) -> int:
        """Return how many vectors there are."""
        with translated(f"index {self.name!r}", "be counted"):
            return int(self.collection.count())

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        found: list[str] = []
        with translated(f"index {self.name!r}", "be read"):
            while page := self.collection.get(limit=_IDS, offset=len(found), include=[])["ids"]:
                found += page
        return np.sort(np.array([int(key) for key in found], dtype=np.int64))

    def put(self, ids: npt.NDArray[np.int64], rows: npt.NDArray[np.float32]) -> None:
        """Write vectors over those of the same id."""
        with translated(f"index {self.name!r}", "be written"):
            for start in range(0, len(ids), _BATCH):
                keys = [str(key) for key in ids[start : start + _BATCH].tolist()]
                # Written over in place. Deleting first leaves a dead twin beside each vector,
                # and the living ones lose one another: recall fell to 0.08 after 8 rounds.
                self.collection.upsert(ids=keys, embeddings=rows[start : start + _BATCH])

    def remove(self, ids: npt.NDArray[np.int64]) -> None:
        """Remove vectors, as far as they are there."""
        ids = np.unique(ids)
        with translated(f"index {self.name!r}", "be written"):
            for start in range(0, len(ids), _BATCH):
                self._remove([str(key) for key in ids[start : start + _BATCH].tolist()])

    def _remove(self, keys: list[str]) -> None:
        there = self.collection.get(ids=keys, include=[])["ids"]
        if there:
            self.collection.delete(ids=there)

    def nearest(self, queries: npt.NDArray[np.float32], k: int) -> list[Candidates]:
        """Return the nearest vectors of each query, ties by id."""
        if k < 1 or not len(queries):
            nothing = Candidates(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
            return [nothing] * len(queries)
        with translated(f"index {self.name!r}", "be searched"):
            answer = self.collection.query(
                query_embeddings=queries, n_results=k, include=["distances"]
            )
        return [
            _ordered(keys, distances)
            for keys, distances in zip(answer["ids"], answer["distances"], strict=True)
        ]


def _ordered(keys: list[str], distances: list[float]) -> Candidates:
    ids = np.array([int(key) for key in keys], dtype=np.int64)
    apart = np.array(distances, dtype=np.float32)
    order = np.lexsort((ids, apart))
    return Candidates(ids[order], apart[order])
