"""Vector indexes of tables: a separate thread updates them after commits.

Owns the synchronisation of indexes with committed rows, and which of the indexes can be searched.
The vectors in the tables are the source of truth: an index that is behind, damaged or owned by
another process is not searched.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import math
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.backends.base import FROM, RID, Reader
from barbule.errors import BarbuleError, ConfigurationError, VectorIndexError
from barbule.executor.search.row_states import as_matrix, ended_between, live_at, row_states
from barbule.indexes.stores import open_store
from barbule.tracing import add, carried, span

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import Index, TableRecord
    from barbule.catalog.store import Catalog
    from barbule.indexes.base import Graph, IndexStore, VectorIndex

__all__ = ["IndexSync"]

_ROWS_PER_READ = 4000
_MAX_ROWS_AT_CLOSE = 8192  # that are written when the session ends; more wait for the next session
# The pause before a synchronisation, in which further commits may arrive: a number of seconds, and
# after a long synchronisation a multiple of its duration, up to a limit: searches read the missing
# rows themselves.
_MIN_PAUSE = 0.02
_PAUSE_FACTOR = 10
_MAX_PAUSE = 10.0
_RETRY_SECONDS = 5.0  # after which the next search retries an index that could not be updated
# While there have been searches within this many seconds, this many rows are written at once.
_SEARCH_SECONDS = 1.0
_ROWS_PER_WRITE_BESIDE_SEARCHES = 32

_running: weakref.WeakSet[IndexSync] = weakref.WeakSet()


class IndexSync:
    """The vector indexes of one session.

    Parameters
    ----------
    url
        Their location: "chroma:///path", "chroma+http://host:port" or "exact:".
    graph
        How graphs are built and searched.
    """

    def __init__(self, url: str, reader: Reader, catalog: Catalog, graph: Graph) -> None:
        self._url = url
        self._graph = graph
        self._reader = reader
        self._catalog = catalog
        self._store: IndexStore | None = None
        self._open: dict[tuple[int, int], VectorIndex] = {}
        self._lock = threading.RLock()
        self._write_lock = threading.Lock()
        self._changed = threading.Condition()
        self._due: dict[int, Callable[[], None]] = {}  # by table, what brings its indexes up
        self._scheduled_commits: dict[int, int] = {}  # by table
        self._failed_at: dict[int, float] = {}  # by table, when its indexes could not be updated
        self._busy = False
        self._searched_at = -math.inf  # the time of the last search
        self._waiters = 0  # threads that wait until no work is pending
        self._closing = False
        self._thread: threading.Thread | None = None
        self.errors: dict[int, str] = {}  # by table, why its indexes could not be updated

    @property
    def is_persistent(self) -> bool:
        """Whether tables have indexes; "exact:" has none."""
        return not self._url.startswith("exact:")

    @property
    def store(self) -> IndexStore:
        """The store, opened on first use."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self._url, self._graph)
            return self._store

    def usable(self, record: TableRecord, index: Index) -> VectorIndex | None:
        """Return an index that is complete and can be searched now, else None."""
        if not self.is_persistent or record.origin is not None:  # a branch is searched exactly
            return None
        try:
            vectors = self._index(record, index)
            if vectors is None:
                return None
            head = self._catalog.latest(record.id).commit
            watermark = vectors.watermark
        except VectorIndexError:
            return None
        # An older copy of the database replaced it, or rows that have ended since were purged.
        return vectors if max(record.compacted, 0) <= watermark <= head else None

    def _index(self, record: TableRecord, index: Index) -> VectorIndex | None:
        key = (record.id, index.embedding)
        with self._lock:
            if key not in self._open:
                if not self.store.usable:
                    return None
                dtype = record.column_by_id(index.embedding).dtype
                if not isinstance(dtype, dt.Array) or dtype.length is None:
                    return None
                name = self._name(record, index)
                self._open[key] = self.store.open(name, dtype.length, index.metric)  # type: ignore[arg-type]
            return self._open[key]

    def _name(self, record: TableRecord, index: Index) -> str:
        """Return the name of an index in the store.

        The timestamp of its table is part of it, so that two databases that share a store do not
        use each other's vectors.
        """
        first_version = self._catalog.versions(record.id)[0]
        created_at = self._catalog.commit(first_version.commit).at.timestamp()
        return f"t{record.id}.c{index.embedding}.{int(created_at * 1e6):x}"

    # Updates after changes of tables

    def schedule(self, table_ids: set[int]) -> None:
        """Schedule the update of the indexes of tables to the latest commit, in the background.

        Until then, and if it fails, searches read the missing rows themselves.
        """
        indexed = {table_id for table_id in table_ids if self._catalog.record(table_id).indexes}
        if not self.is_persistent or not indexed:
            return
        with self._changed:
            if self._closing:
                return
            self._due |= {
                table_id: carried(functools.partial(self._try_update, table_id))
                for table_id in indexed
            }
            self._scheduled_commits |= {
                table_id: self._catalog.latest(table_id).commit for table_id in indexed
            }
            if self._thread is None:
                # Threads that outlive the interpreter's end would crash it.
                if not _running:
                    atexit.register(_stop_all)
                _running.add(self)
                self._thread = threading.Thread(target=self._run, name="barbule-drain", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def schedule_if_behind(self, record: TableRecord) -> None:
        """Schedule the update of the indexes of a searched table, once for each commit."""
        self._searched_at = time.monotonic()
        head = self._catalog.latest(record.id).commit
        if not self.is_persistent:
            return
        failed_at = self._failed_at.get(record.id)
        retries = failed_at is not None and time.monotonic() - failed_at > _RETRY_SECONDS
        if retries or self._scheduled_commits.get(record.id) != head:
            self._scheduled_commits[record.id] = head
            self.schedule({record.id})

    def wait(self, table_ids: set[int] | None = None) -> None:
        """Wait until the indexes are as up to date as possible; first schedule these tables."""
        if table_ids:
            self.schedule(table_ids)
        with self._changed:
            self._waiters += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(
                    lambda: self._thread is None or not (self._due or self._busy)
                )
            finally:
                self._waiters -= 1

    def _run(self) -> None:
        pause = _MIN_PAUSE
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due or self._closing)
                if not self._due:
                    return
                self._changed.wait_for(lambda: self._closing or self._waiters, timeout=pause)
                updates, self._due = self._due, {}
                self._busy = True
            started = time.monotonic()
            try:
                for update in updates.values():
                    update()
            finally:
                seconds = time.monotonic() - started
                pause = min(max(_MIN_PAUSE, _PAUSE_FACTOR * seconds), _MAX_PAUSE)
                with self._changed:
                    self._busy = False
                    self._changed.notify_all()

    def _try_update(self, table_id: int) -> None:
        """Update the indexes of a table; `check` reports errors, and updates are retried later."""
        try:
            self.errors.pop(table_id, None)
            if self.update(table_id):
                self._failed_at.pop(table_id, None)
            else:
                self._failed_at[table_id] = time.monotonic()
        except Exception as error:  # noqa: BLE001 - the thread would follow no table any more
            # A table that is dropped in the meantime loses its rows.
            if not self._is_dropped(table_id):
                self.errors[table_id] = (
                    error.message
                    if isinstance(error, BarbuleError)
                    else f"{type(error).__name__}: {error}"
                )

    def _is_dropped(self, table_id: int) -> bool:
        try:
            return self._catalog.record(table_id).dropped
        except KeyError:
            return True

    def update(self, table_id: int) -> bool:
        """Update the indexes of a table to the latest commit; return whether all were updated."""
        try:
            record = self._catalog.record(table_id)
        except KeyError:  # it was dropped meanwhile
            return True
        if record.origin is not None:  # a branch is searched exactly
            return True
        complete = True
        for index in record.indexes:
            try:
                with self._write_lock, span("sync", index.name, rows=0):
                    complete &= self._update_index(record, index)
            except VectorIndexError as error:
                self.errors[table_id] = error.message
                complete = False
        return complete

    def _update_index(self, record: TableRecord, index: Index) -> bool:
        vectors = self._index(record, index)
        if vectors is None:
            return False
        head = self._catalog.latest(record.id).commit
        if vectors.watermark > head or -1 < vectors.watermark < record.compacted:
            vectors.reset()
        if vectors.watermark < head and self._write_changes(record, index, vectors, head):
            vectors.advance(head)
        return True

    def _write_changes(
        self, record: TableRecord, index: Index, vectors: VectorIndex, head: int
    ) -> bool:
        """Write the difference since the watermark; writing it twice is harmless.

        Returns whether everything was written. It is read in pieces, and the database is free
        between them for other waiting threads.
        """
        import numpy as np

        name = record.column_by_id(index.embedding).physical
        states = row_states(self._reader, record)
        since = vectors.watermark
        written = [np.empty(0, np.int64)]
        new_states = live_at(states, head).filter(states[FROM] > since, states[name].notnull())
        rids = np.sort(self._reader.arrow(new_states.select(RID), {})[RID].to_numpy())
        for start in range(0, len(rids), _ROWS_PER_READ):
            if self._closing and len(rids) - start > _MAX_ROWS_AT_CLOSE:
                return False
            piece_rids = rids[start : start + _ROWS_PER_READ]
            bounds = int(piece_rids[0]), int(piece_rids[-1])
            piece = new_states.filter(new_states[RID].between(*bounds))
            rows = self._reader.arrow(piece.select(RID, name), {})
            written.append(self._upsert(vectors, rows, index))
            add(rows=rows.num_rows)
        if since >= 0:
            ended = self._reader.arrow(ended_between(states, since, head), {})[RID].to_numpy()
            # Rows that were only changed have been overwritten.
            self._write_pieces(vectors.delete, np.setdiff1d(ended, np.concatenate(written)))
        return True

    def _upsert(self, vectors: VectorIndex, rows: pa.Table, index: Index) -> npt.NDArray[np.int64]:
        """Write the comparable vectors; return their rows."""
        import numpy as np

        from barbule.indexes.matrix import comparable

        if not rows.num_rows:
            return np.empty(0, np.int64)
        matrix = as_matrix(rows.column(1))
        is_comparable = comparable(matrix, index.metric)  # type: ignore[arg-type]
        rids = rows.column(0).to_numpy()[is_comparable]
        self._write_pieces(vectors.upsert, rids, matrix[is_comparable])
        return rids

    def _write_pieces(self, write: Callable[..., None], *arrays: npt.NDArray[Any]) -> None:
        """Write; in small batches with pauses, if there are searches in the meantime.

        Chroma blocks all other threads while it writes.
        """
        start, count = 0, len(arrays[0])
        while start < count:
            has_searches = time.monotonic() - self._searched_at < _SEARCH_SECONDS
            hurried = self._closing or self._waiters or not has_searches
            end = count if hurried else start + _ROWS_PER_WRITE_BESIDE_SEARCHES
            started = time.monotonic()
            write(*(array[start:end] for array in arrays))
            start = end
            if not hurried:
                time.sleep(time.monotonic() - started)

    def drop(self, record: TableRecord, index: Index) -> None:
        """Remove the vectors of an index, or of a dropped table."""
        if not self.is_persistent:
            return
        with self._write_lock, contextlib.suppress(VectorIndexError, ConfigurationError):
            self._open.pop((record.id, index.embedding), None)
            if self.store.usable:
                self.store.drop(self._name(record, index))

    def reset(self, record: TableRecord, index: Index) -> None:
        """Empty an index, so that it is rebuilt."""
        with self._write_lock:
            vectors = self._index(record, index)
            if vectors is not None:
                vectors.reset()

    def stop(self) -> None:
        """End the thread, after it has finished its current write."""
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
    for index_sync in list(_running):
        index_sync.stop()
