"""Vector indexes of tables: kept behind the tables by a thread of their own.

Owns the way from committed rows to an index (the *drain*), and which of the indexes can be
asked. The vectors in the tables are the truth: an index that is behind, damaged or owned by
another process is simply not asked.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.backends.base import FROM, RID, TO, Backend
from barbule.errors import VectorIndexError
from barbule.indexes.stores import open_store
from barbule.planner.lowering.table_schemas import physical_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.types as ir
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import Index, TableRecord
    from barbule.catalog.store import Catalog
    from barbule.indexes.base import Graph, IndexStore, VectorIndex

__all__ = ["Indexing", "as_matrix", "ended_since", "living_at", "physical_rows"]

_DRAIN_ROWS = 4000
# So many rows are still written when the session ends; of more, the rest waits for the next one.
_LAST_ROWS = 8192
# How long a drain waits for further commits, in seconds; and after one that took long, so many
# times as long as it took, but for no longer than that: searches look at what is missing.
_QUIET = 0.02
# After so many seconds an index that could not follow is tried again, by the next search.
_AGAIN = 5.0
_REST = 10
_LONGEST = 10.0
# While somebody has searched within so many seconds, so many rows are written at a time.
_LATELY = 1.0
_FEW_ROWS = 32

_draining: weakref.WeakSet[Indexing] = weakref.WeakSet()


class Indexing:
    """The vector indexes of one session.

    Parameters
    ----------
    url
        Where they live: "chroma:///path", "chroma+http://host:port" or "exact:".
    graph
        How graphs are built and searched.
    """

    def __init__(self, url: str, backend: Backend, catalog: Catalog, graph: Graph) -> None:
        self._url = url
        self._graph = graph
        self._backend = backend
        self._catalog = catalog
        self._store: IndexStore | None = None
        self._open: dict[tuple[int, int], VectorIndex] = {}
        self._lock = threading.RLock()
        self._writing = threading.Lock()  # held by one drain at a time
        self._changed = threading.Condition()
        self._due: set[int] = set()
        self._seen: dict[int, int] = {}
        self._behind: dict[int, float] = {}  # by table, when its indexes could not follow it
        self._busy = False
        self._searched = -math.inf  # when somebody has last searched
        self._awaited = 0  # those who wait until nothing is due
        self._closing = False
        self._thread: threading.Thread | None = None
        self.trouble: dict[int, str] = {}  # by table, why its indexes could not follow it

    @property
    def kept(self) -> bool:
        """Whether there are indexes beside the tables; "exact:" keeps none."""
        return not self._url.startswith("exact:")

    @property
    def store(self) -> IndexStore:
        """The store, opened when it is first needed."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self._url, self._graph)
            return self._store

    def usable(self, record: TableRecord, index: Index) -> VectorIndex | None:
        """Return an index that has been filled and can be asked now, else None."""
        if not self.kept or record.origin is not None:  # a branch is searched exactly
            return None
        try:
            found = self._index(record, index)
            if found is None:
                return None
            head = self._catalog.latest(record.id).commit
            watermark = found.watermark
        except VectorIndexError:
            return None
        # An older copy of the database took its place, or what ended since is known no more.
        return found if max(record.compacted, 0) <= watermark <= head else None

    def _index(self, record: TableRecord, index: Index) -> VectorIndex | None:
        key = (record.id, index.embedding)
        with self._lock:
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

    # Following the tables

    def drain(self, table_ids: set[int]) -> None:
        """Have the indexes of tables brought up to the latest commit, in the background.

        Meanwhile, and where that fails, a search looks at what is missing itself.
        """
        indexed = {each for each in table_ids if self._catalog.record(each).indexes}
        if not self.kept or not indexed:
            return
        with self._changed:
            if self._closing:
                return
            self._due |= indexed
            self._seen |= {each: self._catalog.latest(each).commit for each in indexed}
            if self._thread is None:
                # Threads that outlive the interpreter's end would take it down with them.
                if not _draining:
                    atexit.register(_stop_all)
                _draining.add(self)
                self._thread = threading.Thread(
                    target=self._follow, name="barbule-drain", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def look_after(self, record: TableRecord) -> None:
        """Have the indexes of a table brought up to date, once for each commit."""
        self._searched = time.monotonic()
        head = self._catalog.latest(record.id).commit
        if not self.kept:
            return
        failed = self._behind.get(record.id)
        again = failed is not None and time.monotonic() - failed > _AGAIN
        if again or self._seen.get(record.id) != head:
            self._seen[record.id] = head
            self.drain({record.id})

    def settle(self, table_ids: set[int] | None = None) -> None:
        """Wait until the indexes are as far as they can be brought."""
        if table_ids:
            self.drain(table_ids)
        with self._changed:
            self._awaited += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(
                    lambda: self._thread is None or not (self._due or self._busy)
                )
            finally:
                self._awaited -= 1

    def _follow(self) -> None:
        pause = _QUIET
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._closing)
                if not self._due:
                    return
                self._changed.wait_for(lambda: self._closing or self._awaited, timeout=pause)
                table_ids, self._due = self._due, set()
                self._busy = True
            began = time.monotonic()
            try:
                for table_id in table_ids:
                    self._try(table_id)
            finally:
                took = time.monotonic() - began
                pause = min(max(_QUIET, _REST * took), _LONGEST)
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _try(self, table_id: int) -> None:
        """Bring the indexes of a table up; what fails is told by `check`, and tried again later."""
        try:
            if self.follow(table_id):
                self._behind.pop(table_id, None)
            else:
                self._behind[table_id] = time.monotonic()
            self.trouble.pop(table_id, None)
        except Exception as error:  # noqa: BLE001 - the thread would follow no table any more
            # A table that is dropped meanwhile takes its rows away.
            if not self._is_gone(table_id):
                self.trouble[table_id] = f"{type(error).__name__}: {error}"

    def _is_gone(self, table_id: int) -> bool:
        try:
            return self._catalog.record(table_id).dropped
        except KeyError:
            return True

    def follow(self, table_id: int) -> bool:
        """Bring the indexes of a table up to the latest commit; return whether all could be."""
        try:
            record = self._catalog.record(table_id)
        except KeyError:  # it was dropped meanwhile
            return True
        if record.origin is not None:  # a branch is searched exactly
            return True
        done = True
        for index in record.indexes:
            try:
                with self._writing:
                    done &= self._bring_up(record, index)
            except VectorIndexError:
                done = False
        return done

    def _bring_up(self, record: TableRecord, index: Index) -> bool:
        vectors = self._index(record, index)
        if vectors is None:
            return False
        head = self._catalog.latest(record.id).commit
        if vectors.watermark > head or -1 < vectors.watermark < record.compacted:
            vectors.reset()
        if vectors.watermark < head and self._move(record, index, vectors, head):
            vectors.advance(head)
        return True

    def _move(self, record: TableRecord, index: Index, vectors: VectorIndex, head: int) -> bool:
        """Write the difference since the watermark; doing it twice does no harm.

        Returns whether all was written. It is read in pieces, and the database is free between
        them for others who wait for it.
        """
        import numpy as np

        name = record.column_by_id(index.embedding).physical
        rows = physical_rows(self._backend, record)
        since = vectors.watermark
        written = [np.empty(0, np.int64)]
        fresh = living_at(rows, head).filter(rows[FROM] > since, rows[name].notnull())
        rids = np.sort(self._backend.arrow(fresh.select(RID), {})[RID].to_numpy())
        for start in range(0, len(rids), _DRAIN_ROWS):
            if self._closing and len(rids) - start > _LAST_ROWS:
                return False
            some = rids[start : start + _DRAIN_ROWS]
            piece = fresh.filter(fresh[RID].between(int(some[0]), int(some[-1])))
            new = self._backend.arrow(piece.select(RID, name), {})
            written.append(self._put(vectors, new, index))
        if since >= 0:
            gone = self._backend.arrow(ended_since(rows, since, head), {})[RID].to_numpy()
            # Those that were only changed have been written over.
            self._in_pieces(vectors.delete, np.setdiff1d(gone, np.concatenate(written)))
        return True

    def _put(self, vectors: VectorIndex, rows: pa.Table, index: Index) -> npt.NDArray[np.int64]:
        """Write vectors, as far as they can be compared; return the rows of these."""
        import numpy as np

        from barbule.indexes.matrix import comparable

        if not rows.num_rows:
            return np.empty(0, np.int64)
        found = as_matrix(rows.column(1))
        fit = comparable(found, index.metric)  # type: ignore[arg-type]
        rids = rows.column(0).to_numpy()[fit]
        self._in_pieces(vectors.upsert, rids, found[fit])
        return rids

    def _in_pieces(self, write: Callable[..., None], *values: npt.NDArray[Any]) -> None:
        """Write; a few at a time, with pauses between them, where others search meanwhile.

        Chroma keeps all other threads from running while it writes.
        """
        start, count = 0, len(values[0])
        while start < count:
            searched = time.monotonic() - self._searched < _LATELY
            hurried = self._closing or self._awaited or not searched
            end = count if hurried else start + _FEW_ROWS
            began = time.monotonic()
            write(*(each[start:end] for each in values))
            start = end
            if not hurried:
                time.sleep(time.monotonic() - began)

    def drop(self, record: TableRecord, index: Index) -> None:
        """Remove the vectors of an index, or of a table that is gone."""
        if not self.kept:
            return
        with self._writing, contextlib.suppress(VectorIndexError):
            self._open.pop((record.id, index.embedding), None)
            if self.store.usable:
                self.store.drop(self._name(record, index))

    def reset(self, record: TableRecord, index: Index) -> None:
        """Empty an index, so that it is filled anew."""
        with self._writing:
            vectors = self._index(record, index)
            if vectors is not None:
                vectors.reset()

    def stop(self) -> None:
        """End the thread, once what it began is whole."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        with self._changed:
            self._thread = None
            self._changed.notify_all()

    def close(self) -> None:
        """Close the store, if it was opened."""
        self.stop()
        self._open.clear()
        if self._store is not None:
            self._store.close()
            self._store = None


def _stop_all() -> None:
    for each in list(_draining):
        each.stop()


def physical_rows(backend: Backend, record: TableRecord) -> ir.Table:
    """Read the rows of a table as they are stored."""
    return backend.table(record.physical, physical_schema(record)).to_expr()


def living_at(rows: ir.Table, commit: int) -> ir.Table:
    """Give the states of rows that live at a commit."""
    return rows.filter(rows[FROM] <= commit, rows[TO] > commit)


def ended_since(rows: ir.Table, since: int, until: int) -> ir.Table:
    """Give the identities of rows of which a state has ended after a commit, until another one."""
    return rows.filter(rows[TO] > since, rows[TO] <= until).select(RID).distinct()


def as_matrix(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.float32]:
    """Return vectors as rows of a NumPy matrix."""
    import numpy as np
    import pyarrow as pa

    whole: Any = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    length = whole.type.list_size if hasattr(whole.type, "list_size") else len(whole[0])
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(-1, length)
