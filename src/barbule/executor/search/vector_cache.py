"""The vectors of indexes in memory, updated with the tables.

Owns what is in memory, and how it is updated to a commit. The vectors in the tables are the source
of truth.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

from barbule.backends.base import FROM, RID, Reader
from barbule.executor.search.row_states import as_matrix, ended_between, live_at, row_states

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from barbule.catalog.records import Index, TableRecord
    from barbule.catalog.store import Catalog
    from barbule.indexes.matrix import Matrix

__all__ = ["VectorCache", "vector_length"]

_BATCH_ROWS = 65536
_COUNT_TOLERANCE = 10  # a fraction of the rows that may be written before they are counted again

_Key = tuple[int, int]
"""The ids of a table and of its column of vectors."""


def vector_length(record: TableRecord, index: Index) -> int:
    """Return the length of the vectors of an index; 0 if it is not fixed."""
    dtype = record.column_by_id(index.embedding).dtype
    return int(dtype.length or 0) if isinstance(dtype, dt.Array) else 0


@dataclass
class _CachedVectors:
    """The vectors of an index, up to a commit."""

    matrix: Matrix
    watermark: int = -1
    compacted: int = 0


class VectorCache:
    """The vectors of live tables that are in memory.

    Parameters
    ----------
    max_bytes
        The memory for vectors. The least recently searched ones are evicted.
    """

    def __init__(self, reader: Reader, catalog: Catalog, max_bytes: int) -> None:
        self._reader = reader
        self._catalog = catalog
        self._max_bytes = max_bytes
        self._cached: OrderedDict[_Key, _CachedVectors] = OrderedDict()
        self._counts: dict[int, tuple[int, int]] = {}  # commit and number of rows, by table
        self._lock = threading.RLock()

    def count_rows(self, record: TableRecord, commit: int, *, approximate: bool = False) -> int:
        """Count the rows of a table that are live at a commit.

        Parameters
        ----------
        approximate
            Whether a tenth more or less does not matter.
        """
        head = self._catalog.version_at(record.id, commit).commit
        last_count = self._counts.get(record.id)
        if approximate and last_count is not None and last_count[0] < head:
            written = self._catalog.rows_written_between(record.id, last_count[0], head)
            if written * _COUNT_TOLERANCE <= last_count[1]:
                return last_count[1]
        if not self._catalog.has_closed_rows(record.id):  # each row that was written is live
            return self._catalog.version_at(record.id, commit).next_rid
        if last_count is None or last_count[0] != head:
            states = live_at(row_states(self._reader, record), head)
            rows = self._reader.arrow(states.aggregate(n=states.count()), {})
            last_count = self._counts[record.id] = (head, rows.column(0)[0].as_py())
        return last_count[1]

    def maximum_rows(self, record: TableRecord) -> int:
        """Return how many rows a table may have at most, without counting them."""
        latest = self._catalog.latest(record.id)
        if (last_count := self._counts.get(record.id)) is None:
            return latest.next_rid
        commit, rows = last_count
        written = self._catalog.rows_written_between(record.id, commit, latest.commit)
        return min(latest.next_rid, rows + written)

    def fits(self, record: TableRecord, index: Index, row_count: int) -> bool:
        """Whether the vectors of this number of rows may be in memory."""
        return row_count * vector_length(record, index) * 4 <= self._max_bytes

    def matrix(self, record: TableRecord, index: Index, commit: int) -> Matrix:
        """Return the vectors of an index, updated to a commit at least."""
        key = (record.id, index.embedding)
        head = self._catalog.version_at(record.id, commit).commit
        cached = self._cached.get(key)
        if cached is not None and cached.watermark >= head and self._is_valid(cached, record):
            with contextlib.suppress(KeyError):  # another search may just have made room
                self._cached.move_to_end(key)
            return cached.matrix
        with self._lock:  # one thread reads for all
            return self._updated(record, index, key, head)

    def _is_valid(self, cached: _CachedVectors, record: TableRecord) -> bool:
        """Whether the database is the same one, and no rows of the table were purged."""
        latest = self._catalog.latest(record.id).commit
        return cached.watermark <= latest and cached.compacted == record.compacted

    def _updated(self, record: TableRecord, index: Index, key: _Key, head: int) -> Matrix:
        from barbule.indexes.matrix import Matrix

        cached = self._cached.get(key)
        if cached is None or not self._is_valid(cached, record):
            matrix = Matrix(vector_length(record, index), index.metric)  # type: ignore[arg-type]
            cached = self._cached[key] = _CachedVectors(matrix, compacted=record.compacted)
        self._cached.move_to_end(key)
        if cached.watermark < head:
            self._update(record, index, cached, head)
            self._make_room()
        return cached.matrix

    def _update(self, record: TableRecord, index: Index, cached: _CachedVectors, head: int) -> None:
        """Read what has changed in a table since the watermark."""
        vector = record.column_by_id(index.embedding).physical
        states = row_states(self._reader, record)
        since, matrix = cached.watermark, cached.matrix
        is_small = (
            since >= 0 and self._catalog.rows_written_between(record.id, since, head) <= _BATCH_ROWS
        )
        if is_small:
            ended, new_rows = self._reader.changes(states, vector, since, head)
            matrix.remove(ended.to_numpy(), commit=head)
            batches: Iterable[pa.Table | pa.RecordBatch] = [new_rows]
        else:
            if since >= 0:
                ended = self._reader.arrow(ended_between(states, since, head), {}).column(0)
                matrix.remove(ended.to_numpy(), commit=head)
            else:
                matrix.reserve(self.count_rows(record, head))
                matrix.earliest_commit = head
            new_states = live_at(states, head).filter(
                states[FROM] > since, states[vector].notnull()
            )
            batches = self._reader.batches(new_states.select(RID, vector), {}, _BATCH_ROWS)
        for batch in batches:
            if batch.num_rows:
                ids, vectors = batch.column(0).to_numpy(), as_matrix(batch.column(1))
                matrix.put(ids, vectors, commit=head)
        cached.watermark = head

    def _make_room(self) -> None:
        while len(self._cached) > 1 and self.nbytes > self._max_bytes:
            self._cached.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """The memory that vectors take."""
        return sum(cached.matrix.nbytes for cached in self._cached.values())

    def clear(self) -> None:
        """Free the memory."""
        with self._lock:
            self._cached.clear()
