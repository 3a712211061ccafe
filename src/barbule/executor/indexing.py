"""Vector indexes of tables: kept behind the tables, asked when they are complete.

Owns the way from committed rows to an index (the *drain*) and from a query vector to candidate
rows. The vectors in the tables are the truth: an index that is behind, damaged or owned by
another process is simply not asked.
"""

from __future__ import annotations

import contextlib
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
            name = f"t{record.id}.c{index.embedding}"
            self._open[key] = self.store.open(name, kind.length, index.metric)  # type: ignore[arg-type]
        return self._open[key]

    def ready(self, record: TableRecord, index: Index) -> bool:
        """Whether an index holds all live rows; it is brought up to date first if it is behind."""
        try:
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
                with contextlib.suppress(VectorIndexError):
                    self._drain(record, index)

    def _drain(self, record: TableRecord, index: Index) -> bool:
        vectors = self._index(record, index)
        if vectors is None:
            return False
        head = self._catalog.latest(record.id).commit
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
        if vectors is None or vector is None:
            return pa.array([], pa.int64())
        (found,) = vectors.search([vector], stage.count)
        return pa.array(found.ids, pa.int64())

    def drop(self, record: TableRecord, index: Index) -> None:
        """Remove the vectors of an index, or of a table that is gone."""
        self._open.pop((record.id, index.embedding), None)
        with contextlib.suppress(VectorIndexError):
            if self.store.usable:
                self.store.drop(f"t{record.id}.c{index.embedding}")

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
