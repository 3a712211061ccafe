"""Which rows a search may find: read once for all searches behind one filter, till a commit.

Owns what is remembered of filters. To read which rows qualify takes as long as to find the nearest
of them, and who searches behind a filter often does so again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from barbule.expression_keys import ExpressionKey

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.operations as ops
    import pyarrow as pa

    from barbule.catalog.store import Catalog

__all__ = ["Qualifying"]

_MOST_BYTES = 32 * 1024**2


class Qualifying:
    """The identities of rows that pass filters, as of a commit.

    Parameters
    ----------
    read
        Reads the identities that a relation gives.
    alone
        Whether nobody else writes between the moment at which a query learns of the latest
        commit and its end, but that is noticed.
    """

    def __init__(
        self, catalog: Catalog, read: Callable[[ops.Relation], pa.Array], *, alone: bool
    ) -> None:
        self._catalog = catalog
        self._read = read
        self._alone = alone
        self._known: OrderedDict[ExpressionKey, pa.Array] = OrderedDict()
        self._moment: Any = None
        self._lock = threading.Lock()

    def rows(self, relation: ops.Relation, head: int) -> pa.Array:
        """Return the identities that a relation gives, which nothing but a commit changes.

        Parameters
        ----------
        head
            The commit at which the calling thread reads.
        """
        if not self._alone or self._catalog.pending is not None or not head:
            return self._read(relation)
        # An older copy of the database may have come to the same number by other commits.
        moment = head, self._catalog.commit(head).at
        key = ExpressionKey(relation)
        with self._lock:
            if moment != self._moment:
                self._known.clear()
                self._moment = moment
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        found = self._read(relation)
        with self._lock:
            if moment == self._moment and found.nbytes <= _MOST_BYTES:
                self._known[key] = found
                while sum(each.nbytes for each in self._known.values()) > _MOST_BYTES:
                    self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        """Free the memory."""
        with self._lock:
            self._known.clear()
