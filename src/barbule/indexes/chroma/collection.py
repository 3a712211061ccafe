"""Vectors in one Chroma collection, embedded or on a server.

Owns how collections are named, created, written and queried, and that Chroma's errors become
`VectorIndexError`. Knows no watermark and no files. Collections have float32 rows with string ids
and no metadata, with which Chroma would search slowly.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from barbule.errors import BarbuleError, VectorIndexError
from barbule.indexes.base import Candidates

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

    from barbule.indexes.base import Graph, Metric

__all__ = [
    "VectorCollection",
    "collection_name",
    "create_collection",
    "generations",
    "translate_errors",
]

_BATCH_ROWS = 1000
_COLLECTIONS_PER_PAGE = 100
_IDS_PER_PAGE = 20_000
_MAX_ENCODED_LENGTH = 400
_SHORTENED_LENGTH = 300
_ALLOWED_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


@contextmanager
def translate_errors(subject: str, action: str) -> Iterator[None]:
    """Translate Chroma's errors to a `VectorIndexError` about an action."""
    try:
        yield
    except BarbuleError:
        raise
    except BaseException as error:
        # A panic of Chroma's Rust half derives from BaseException, as an interrupt does.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise VectorIndexError(
            f"{subject} could not {action}: {type(error).__name__}: {error}",
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
    raw = name.encode()
    encoded = "".join(chr(byte) if byte in _ALLOWED_BYTES else f"_{byte:02x}" for byte in raw)
    if len(encoded) <= _MAX_ENCODED_LENGTH:
        return encoded
    # "__" occurs in no encoded name, so that a shortened one is different from all.
    return f"{encoded[:_SHORTENED_LENGTH]}__{hashlib.sha256(raw).hexdigest()}"


def generations(client: ClientAPI, name: str) -> list[int]:
    """Return the generations of an index that Chroma has, in order."""
    pattern = re.compile(re.escape(f"bb-{_encoded(name)}-g") + r"(\d+)")
    numbers: list[int] = []
    offset = 0
    with translate_errors(f"index {name!r}", "be looked up"):
        while page := client.list_collections(limit=_COLLECTIONS_PER_PAGE, offset=offset):
            matches = (pattern.fullmatch(collection.name) for collection in page)
            numbers += [int(match[1]) for match in matches if match]
            offset += len(page)
    return sorted(numbers)


def create_collection(
    client: ClientAPI,
    name: str,
    metric: Metric,
    *,
    graph: Graph,
    last_generation: int = 0,
    metadata: dict[str, str | int] | None = None,
) -> tuple[Collection, int]:
    """Create an empty collection, of a generation after all that exist and after the last one."""
    generation = max([last_generation, *generations(client, name)]) + 1
    with translate_errors(f"index {name!r}", "be made"):
        collection = client.create_collection(
            collection_name(name, generation),
            configuration={
                "hnsw": {
                    "space": metric,
                    # Writes of the graph take time, and may be damaged by a crash, so not the
                    # default of 1000; from 5000 on, overwriting vectors is ten times slower.
                    "sync_threshold": 2000,
                    "batch_size": _BATCH_ROWS,
                    "max_neighbors": graph.m,
                    "ef_construction": graph.ef_construction,
                    "ef_search": graph.ef_search,
                }
            },
            metadata=metadata,
            embedding_function=None,
        )
    return collection, generation


class VectorCollection:
    """The vectors of one collection.

    Parameters
    ----------
    name
        The index, for messages.
    collection
        A Chroma collection.
    dimension
        The length of a vector.
    metric
        The metric of the collection.
    """

    def __init__(self, name: str, collection: Collection, dimension: int, metric: Metric) -> None:
        self.name = name
        self.collection = collection
        self.dimension = dimension
        self.metric: Metric = metric

    def count(self) -> int:
        """Return how many vectors there are."""
        with translate_errors(f"index {self.name!r}", "be counted"):
            return int(self.collection.count())

    def ids(self) -> npt.NDArray[np.int64]:
        """Return the ids of all vectors, in order."""
        keys: list[str] = []
        with translate_errors(f"index {self.name!r}", "be read"):
            while page := self.collection.get(limit=_IDS_PER_PAGE, offset=len(keys), include=[])[
                "ids"
            ]:
                keys += page
        return np.sort(np.array([int(key) for key in keys], dtype=np.int64))

    def put(self, ids: npt.NDArray[np.int64], rows: npt.NDArray[np.float32]) -> None:
        """Write vectors, replacing those of the same id."""
        with translate_errors(f"index {self.name!r}", "be written"):
            for start in range(0, len(ids), _BATCH_ROWS):
                keys = [str(key) for key in ids[start : start + _BATCH_ROWS].tolist()]
                # Overwritten in place. To delete first leaves dead nodes in the graph, which
                # disconnect the live ones: recall fell to 0.08 after 8 rounds.
                self.collection.upsert(ids=keys, embeddings=rows[start : start + _BATCH_ROWS])

    def remove(self, ids: npt.NDArray[np.int64]) -> None:
        """Remove vectors; unknown ids are ignored."""
        ids = np.unique(ids)
        with translate_errors(f"index {self.name!r}", "be written"):
            for start in range(0, len(ids), _BATCH_ROWS):
                self._remove([str(key) for key in ids[start : start + _BATCH_ROWS].tolist()])

    def _remove(self, keys: list[str]) -> None:
        existing = self.collection.get(ids=keys, include=[])["ids"]
        if existing:
            self.collection.delete(ids=existing)

    def nearest(self, queries: npt.NDArray[np.float32], k: int) -> list[Candidates]:
        """Return the nearest vectors of each query, ties by id."""
        if k < 1 or not len(queries):
            empty = Candidates(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
            return [empty] * len(queries)
        with translate_errors(f"index {self.name!r}", "be searched"):
            result = self.collection.query(
                query_embeddings=queries, n_results=k, include=["distances"]
            )
        return [
            _candidates(keys, distances)
            for keys, distances in zip(result["ids"], result["distances"], strict=True)
        ]


def _candidates(keys: list[str], distances: list[float]) -> Candidates:
    """Return the results of one query, nearest first, ties by id."""
    ids = np.array([int(key) for key in keys], dtype=np.int64)
    values = np.array(distances, dtype=np.float32)
    order = np.lexsort((ids, values))
    return Candidates(ids[order], values[order])
