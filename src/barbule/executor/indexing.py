"""Vector indexes of tables: kept behind the tables, asked when they are complete.

Owns the way from committed rows to an index (the *drain*) and from a query vector to candidate
rows. The vectors in the tables are the truth: an index that is behind, damaged or owned by
another process is simply not asked.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.backends.base import FOREVER, FROM, RID, TO, Backend
from barbule.errors import VectorIndexError
from barbule.indexes.base import IndexStore, VectorIndex, open_store
from barbule.planner.lower import physical_schema

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.catalog.records import Index, TableRecord
    from barbule.catalog.store import Catalog
    from barbule.planner.plan import CandidateStage

__all__ = ["Indexing"]

_DRAIN_ROWS = 8192


class Indexing:
    """The vector indexes of one session.

    Parameters
    ----------
    url
        Where they live: "chroma:///path", "chroma+http://host:port" or "exact:".
    """

    def __init__(self, url: str, backend: Backend, catalog: Catalog) -> None:
        self._url = url
        self._backend = backend
        self._catalog = catalog
        self._store: IndexStore | None = None
        self._open: dict[tuple[int, int], VectorIndex] = {}
        self._lock = threading.RLock()

    @property
    def store(self) -> IndexStore:
        """The store, opened when it is first needed."""
        if self._store is None:
            self._store = open_store(self._url)
        return self._store

    def _index(self, record: TableRecord, index: Index) -> VectorIndex | None:
        key = (record.id, index.embedding)
        if key not in self._open:
            if not self.store.usable:
                return None
            kind = record.column_by_id(index.embedding).dtype
            if not isinstance(kind, dt.Array) or kind.length is None:
                return None
            name = self._name(record, index)
            self._open[key] = self.store.open(name, kind.length, index.metric)  # type: ignore[arg-type]
        return self._open[key]

    def _name(self, record: TableRecord, index: Index) -> str:
        """Name an index in the store.

        The moment at which its table was made is part of it, so that two databases that share
        a store do not take each other's vectors for their own.
        """
        first = self._catalog.versions(record.id)[0]
        made = self._catalog.commit(first.commit).at.timestamp()
        return f"t{record.id}.c{index.embedding}.{int(made * 1e6):x}"

    def ready(self, record: TableRecord, index: Index) -> bool:
        """Whether an index holds all live rows; it is brought up to date first if it is behind."""
        try:
            with self._lock:
                return self._drain(record, index)
        except VectorIndexError:
            return False

    def drain(self, table_ids: set[int]) -> None:
        """Bring the indexes of tables up to the latest commit, as far as that is possible.

        What fails is made up for by the next search, which scans the table meanwhile.
        """
        for table_id in table_ids:
            record = self._catalog.record(table_id)
            for index in record.indexes:
                with contextlib.suppress(VectorIndexError), self._lock:
                    self._drain(record, index)

    def _drain(self, record: TableRecord, index: Index) -> bool:
        vectors = self._index(record, index)
        if vectors is None or record.origin is not None:  # a branch is searched exactly
            return False
        head = self._catalog.latest(record.id).commit
        # An older copy of the database took its place, or what ended since is known no more.
        if vectors.watermark > head or -1 < vectors.watermark < record.compacted:
            vectors.reset()
        if vectors.watermark < head:
            self._move(record, index, vectors)
            vectors.advance(head)
        return True

    def _move(self, record: TableRecord, index: Index, vectors: VectorIndex) -> None:
        """Write the difference since the watermark; doing it twice does no harm."""
        name = record.column_by_id(index.embedding).physical
        rows = self._backend.table(record.physical, physical_schema(record)).to_expr()
        since = vectors.watermark
        if since >= 0:
            ended = rows.filter(rows[TO] > since, rows[TO] < FOREVER).select(RID).distinct()
            gone = self._backend.arrow(ended, {})[RID].to_numpy()
            if len(gone):
                vectors.delete(gone)
        fresh = rows.filter(rows[FROM] > since, rows[TO] == FOREVER, rows[name].notnull())
        for batch in self._backend.batches(fresh.select(RID, name), {}, _DRAIN_ROWS):
            if batch.num_rows:
                vectors.upsert(batch.column(RID).to_numpy(), _matrix(batch.column(name)))

    def search(self, stage: CandidateStage, vector: Any) -> pa.Array:
        """Return the identities of the nearest rows."""
        import pyarrow as pa

        record = self._catalog.record(stage.table_id)
        index = next(each for each in record.indexes if each.name == stage.index)
        vectors = self._index(record, index)
        if vectors is None:
            return pa.array([], pa.int64())
        found = pa.array([], pa.int64())
        if vector is not None and stage.count:
            (nearest,) = vectors.search([vector], stage.count)
            found = pa.array(nearest.ids, pa.int64())
        rest = stage.count - len(found)
        if rest <= 0:
            return found
        # Rows that are like nothing come last, where the nearest are not enough.
        name = record.column_by_id(index.embedding).physical
        rows = self._backend.table(record.physical, physical_schema(record)).to_expr()
        unlike = rows.filter(rows[TO] == FOREVER)
        if vector is not None:
            unlike = unlike.filter(unlike[name].isnull())
        others = self._backend.arrow(unlike.select(RID).limit(rest), {})[RID]
        return pa.concat_arrays([found, others.combine_chunks()])

    def drop(self, record: TableRecord, index: Index) -> None:
        """Remove the vectors of an index, or of a table that is gone."""
        self._open.pop((record.id, index.embedding), None)
        with contextlib.suppress(VectorIndexError):
            if self.store.usable:
                self.store.drop(self._name(record, index))

    def close(self) -> None:
        """Close the store, if it was opened."""
        self._open.clear()
        if self._store is not None:
            self._store.close()
            self._store = None


def _matrix(column: pa.Array) -> Any:
    """Return vectors as rows of a NumPy matrix, without copying."""
    length = column.type.list_size if hasattr(column.type, "list_size") else len(column[0])
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, length)
