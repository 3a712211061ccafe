"""The filter cache: rows that pass a filter, read once for all its searches until the next commit.

Owns the cache. Reading the qualifying rows takes as long as finding the nearest of them, and
searches with the same filter are often repeated.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from barbule.expression_keys import ExpressionKey
from barbule.fast_paths import fast_paths_enabled

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.operations as ops
    import pyarrow as pa

    from barbule.catalog.store import Catalog

__all__ = ["FilterCache"]

_MAX_BYTES = 32 * 1024**2


class FilterCache:
    """The row ids of rows that pass filters, as of a commit.

    Parameters
    ----------
    read
        Reads the row ids of a relation.
    is_single_writer
        Whether a query notices every commit between the one that it reads and its end.
    """

    def __init__(
        self, catalog: Catalog, read: Callable[[ops.Relation], pa.Array], *, is_single_writer: bool
    ) -> None:
        self._catalog = catalog
        self._read = read
        self._is_single_writer = is_single_writer
        self._cached: OrderedDict[ExpressionKey, pa.Array] = OrderedDict()
        self._version: object = None
        self._lock = threading.Lock()

    def rows(self, relation: ops.Relation, head: int) -> pa.Array:
        """Return the row ids of a relation, which only a commit can change.

        Parameters
        ----------
        head
            The commit at which the calling thread reads.
        """
        if not (self._is_single_writer and head and fast_paths_enabled()):
            return self._read(relation)
        # An older copy of the database may have reached the same number with other commits.
        version = head, self._catalog.commit(head).at
        key = ExpressionKey(relation)
        with self._lock:
            if version != self._version:
                self._cached.clear()
                self._version = version
            rids = self._cached.get(key)
            if rids is not None:
                self._cached.move_to_end(key)
                return rids
        rids = self._read(relation)
        with self._lock:
            if version == self._version and rids.nbytes <= _MAX_BYTES:
                self._cached[key] = rids
                while sum(cached.nbytes for cached in self._cached.values()) > _MAX_BYTES:
                    self._cached.popitem(last=False)
        return rids

    def clear(self) -> None:
        """Free the memory."""
        with self._lock:
            self._cached.clear()
