"""A transaction: everything that one mutation does to tables and views, visible at one commit.

Owns what is collected while it is prepared, its writes, and the check at publication that what it
has read is unchanged; `commit` owns the order of these.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.backends.base import RID
from barbule.catalog.records import TableRecord, Version
from barbule.executor.calls.provenance import PROVISIONAL
from barbule.nodes import CELL_ERROR_TYPE
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.tables.transaction.isolation import MediaDeleted, StructureChanged
from barbule.tables.transaction.media_references import find_deleted_media
from barbule.tables.transaction.results import warn_of_empty_cells
from barbule.tables.transaction.writes import (
    AppendRows,
    CustomWrite,
    EndFromQuery,
    EndRows,
    FillColumn,
    FillFromQuery,
    ReplaceFromQuery,
)
from barbule.types import storage
from barbule.values.cells import holds_media

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.pending import PendingCatalog
    from barbule.catalog.records import Column, Commit
    from barbule.executor.calls.caller import Tally
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.results import ResultT
    from barbule.tables.transaction.writes import Write

__all__ = ["Transaction"]

# Of a larger transaction the backend is not to cache its rows.
_LARGE_BYTES = 256 << 20


class Transaction:
    """One commit in the making: what it reads is as it was, what it writes is collected.

    Attributes
    ----------
    pending
        What the commit is going to make visible in the catalog.
    since
        The latest commit when the operation began.
    new_rows
        The rows, by table id, that are new or have a new state: for what is computed from them.
    appended, ended
        All rows that are written, and the identities of those that end, by table id.
    changed_columns
        The columns that have new values in rows that stay, by table id.
    overlays
        Rows, by table id, that queries with a full refresh read in the place of all of a table.
    rebuilt_views
        The views with a full refresh of whose rows none stays.
    lenient
        Whether a function that fails leaves the cell of its computed column empty, although it
        would end the operation by itself.
    """

    def __init__(self, engine: Engine, pending: PendingCatalog, tally: Tally, since: int) -> None:
        self.engine = engine
        self.pending = pending
        self.since = since
        self.tally = tally
        self.new_rows: dict[int, pa.Table] = {}
        self.appended: dict[int, list[pa.Table]] = {}
        self.ended: dict[int, list[pa.Array]] = {}
        self.changed_columns: dict[int, set[str]] = {}
        self.overlays: dict[int, pa.Table] = {}
        self.rebuilt_views: set[int] = set()
        self.lenient = False
        self._refresh_queue: set[int] = set()
        self._storage_changes: list[Callable[[], None]] = []
        self._new_columns: dict[str, dict[str, dt.DataType]] = {}
        self._new_column_values: dict[str, dict[str, pa.Table]] = {}
        self._bytes = 0
        self._writes: list[Write] = []
        self._commit_hooks: list[Callable[[], None]] = []

    # Structures and versions

    def set_operation(self, operation: str) -> None:
        """Give the transaction another name in the history than the one it began with."""
        self.pending.operation = operation

    def put_record(self, record: TableRecord) -> None:
        """Give a table this structure."""
        self.pending.put(record)
        self.touch(record.id)

    def touch(self, table_id: int, *, rows: int = 0, rids: int = 0, closed: bool = False) -> None:
        """Make the transaction a version of a table.

        Parameters
        ----------
        rows
            How many rows were written or removed.
        rids
            How many new row identities were used.
        closed
            Whether rows ended their life.
        """
        version = self.pending.versions.get(table_id) or Version(table_id, 0, 0, "", 0, 0, False)
        self.pending.versions[table_id] = replace(
            version,
            rows=version.rows + rows,
            next_rid=version.next_rid + rids,
            closed=version.closed or closed,
        )

    def row_count(self, table_id: int) -> int:
        """Return how many rows of a table were written or removed."""
        return self.pending.versions[table_id].rows

    def allocate_rids(self, table_id: int, count: int) -> pa.Array:
        """Return identities for new rows, which are made final when they are published."""
        import numpy as np
        import pyarrow as pa

        self.touch(table_id)
        first = PROVISIONAL + self.pending.versions[table_id].next_rid
        self.touch(table_id, rids=count)
        return pa.array(np.arange(first, first + count, dtype=np.int64))

    # Storage

    def create_storage(self, record: TableRecord) -> None:
        """Create the backend's table for the rows of a table."""
        backend = self.engine.backend
        self._storage_changes.append(
            lambda: backend.create(record.physical, physical_schema(record))
        )

    def drop_storage(self, record: TableRecord) -> None:
        """Drop the rows of a table, and those of all its versions."""
        self._storage_changes.append(lambda: self.engine.backend.drop(record.physical))

    def add_column(self, record: TableRecord, column: Column) -> None:
        """Add the backend's columns for the values of a column, and for why they are missing."""
        new_columns = self._new_columns.setdefault(record.physical, {})
        new_columns[column.physical] = storage(column.dtype)
        if column.fallible:
            new_columns[column.errors] = CELL_ERROR_TYPE

    def drop_column(self, record: TableRecord, name: str) -> None:
        """Drop a column of the backend that no version shows any more."""
        backend = self.engine.backend
        self._storage_changes.append(lambda: backend.drop_column(record.physical, name))

    def without_new_columns(self, record: TableRecord) -> TableRecord:
        """Return the record without the columns that are not in the backend yet."""
        new_columns = self._new_columns.get(record.physical, {})
        columns = tuple(column for column in record.columns if column.physical not in new_columns)
        return replace(record, columns=columns) if new_columns else record

    # Rows

    def append(self, record: TableRecord, rows: pa.Table) -> None:
        """Write new rows, or new states of rows, of a table."""
        self.appended.setdefault(record.id, []).append(rows)
        self._bytes += rows.nbytes
        self.schedule_readers(record)
        self._writes.append(AppendRows(record, rows))

    def end_rows(self, record: TableRecord, rids: pa.Array) -> None:
        """End the life of rows."""
        if not len(rids):
            return
        self.ended.setdefault(record.id, []).append(rids)
        self.schedule_readers(record)
        self._writes.append(EndRows(record, rids))
        self.touch(record.id, closed=True)

    def fill_column(self, record: TableRecord, column: str, rows: pa.Table) -> None:
        """Set a column, by its physical name, of live rows."""
        values = rows.select([RID, column])
        if column in self._new_columns.get(record.physical, ()):
            self._new_column_values.setdefault(record.physical, {})[column] = values
            self._bytes += values.nbytes
        else:
            self._writes.append(FillColumn(record, column, values))

    def replace_from_query(
        self, record: TableRecord, query: ir.Table, carried: Sequence[str]
    ) -> None:
        """Write new states of rows, with the values that a query gives, within the backend.

        Only where nothing follows the rows of the table.

        Parameters
        ----------
        carried
            The physical columns that rows keep from their old states.
        """
        self.touch(record.id, closed=True)
        self._writes.append(ReplaceFromQuery(record, query, carried))

    def end_from_query(self, record: TableRecord, query: ir.Table) -> None:
        """End the life of the rows whose identities a query gives, within the backend."""
        self.touch(record.id, closed=True)
        self._writes.append(EndFromQuery(record, query))

    def fill_from_query(self, record: TableRecord, query: ir.Table, column: str | None) -> None:
        """Set columns of live rows to what a query of them gives, within the backend.

        Only where nothing follows the rows of the table.

        Parameters
        ----------
        column
            The name of the column, where it is one, for errors.
        """
        self._writes.append(FillFromQuery(record, query, column))

    def add_write(self, record: TableRecord, write: Callable[[int], None]) -> None:
        """Write something else to the rows of a table, given the commit."""
        self._writes.append(CustomWrite(record, write))

    # Views

    def schedule_readers(self, record: TableRecord) -> None:
        """Schedule the full refresh of the views whose query reads a table."""
        self._refresh_queue |= {view.id for view in self.engine.catalog.queries_over(record.id)}

    def schedule_refresh(self, view_id: int) -> None:
        """Schedule the full refresh of a view, at the end of the preparation."""
        self._refresh_queue.add(view_id)

    def rebuild_view(self, view_id: int) -> None:
        """Schedule the full refresh of a view, with all of its rows written again."""
        self.rebuilt_views.add(view_id)
        self.schedule_refresh(view_id)

    def next_refresh(self) -> int | None:
        """Take the next view of the refresh queue; None where it is empty."""
        if not self._refresh_queue:
            return None
        view_id = min(self._refresh_queue)  # what it reads was created before it
        self._refresh_queue.remove(view_id)
        return view_id

    def overlay(self, table_id: int, rows: pa.Table) -> None:
        """Let queries with a full refresh read these rows in the place of all of a table."""
        self.overlays[table_id] = rows

    # Publication

    def on_commit(self, hook: Callable[[], None]) -> None:
        """Call a function once the transaction is visible."""
        self._commit_hooks.append(hook)

    def check_structures(self) -> None:
        """Check that the structures which the operation has read are unchanged.

        Raises
        ------
        StructureChanged
            When others have changed one, or have created tables while this transaction creates
            one: names and identities of tables must not be used twice.
        """
        catalog, pending = self.engine.catalog, self.pending
        if catalog.head == self.since:
            return
        changed = catalog.tables_restructured_since(self.since)
        if not any(map(catalog.is_new, pending.records)) and not changed <= pending.records.keys():
            changed &= pending.structures_read | pending.records.keys()
        if changed:
            raise StructureChanged(
                [catalog.history(table_id)[-1][1].name for table_id in sorted(changed)]
            )

    def reads_are_current(self) -> bool:
        """Whether the rows that were read are those that live now, and labels are unchanged."""
        catalog, pending = self.engine.catalog, self.pending
        if catalog.head == pending.base_commit:
            return True
        if pending.labels_read and catalog.labels_changed_since(pending.base_commit):
            return False
        latest = (catalog.versions(table_id)[-1:] for table_id in pending.rows_read)
        return all(
            version.commit <= pending.base_commit for versions in latest for version in versions
        )

    def check_media(self) -> None:
        """Check that the stored media to which new cells refer exist.

        Raises
        ------
        MediaDeleted
            When others have deleted one since the operation began.
        """
        if lost := find_deleted_media(self.engine, self._new_media(), self.since):
            raise MediaDeleted(lost)

    def _new_media(self) -> Iterator[pa.Table]:
        """Yield the cells of media columns that are about to be written."""
        for table_id, tables in self.appended.items():
            columns = self.engine.catalog.record(table_id).columns
            media = {column.physical for column in columns if holds_media(column.dtype)}
            for rows in tables:
                yield rows.select([name for name in rows.column_names if name in media])

    def flush(self) -> None:
        """Write what has been collected so far, within the transaction of the backend."""
        self.check_media()
        catalog, commit = self.engine.catalog, self.engine.catalog.head + 1
        first_rids = {
            table_id: versions[-1].next_rid if (versions := catalog.versions(table_id)) else 0
            for table_id in self.pending.versions
        }
        for change_storage in self._storage_changes:
            change_storage()
        for name, dtypes in self._new_columns.items():
            values = self._new_column_values.get(name, {})
            self.engine.backend.add_columns(name, dtypes, values)
        for write in self._writes:
            if rows := write.apply(self.engine.backend, commit, first_rids):
                self.touch(write.record.id, rows=rows)
        self._storage_changes.clear()
        self._new_columns.clear()
        self._new_column_values.clear()
        self._writes.clear()
        self.new_rows.clear()
        self.appended.clear()
        self.ended.clear()
        self.changed_columns.clear()
        self.overlays.clear()

    def publish(self, started: float) -> None:
        """Write and commit; the calling thread has the write lock."""
        backend = self.engine.backend
        with (
            self.engine.ledger.joining(backend) as write_answers,
            backend.transaction(
                large=self._bytes > _LARGE_BYTES, invalidates_plans=self._invalidates_plans()
            ),
        ):
            commit = self.write_commit(started)
            write_answers()
        self.engine.catalog.publish(self.pending, commit)

    def _invalidates_plans(self) -> bool:
        """Whether plans that were made before may be wrong afterwards.

        They go by the structure of tables, and by whether rows of them have ever ended.
        """
        catalog, pending = self.engine.catalog, self.pending
        return bool(pending.records) or any(
            version.closed and not catalog.has_closed_rows(table_id)
            for table_id, version in pending.versions.items()
        )

    def write_commit(self, started: float) -> Commit:
        """Write what is left and the commit itself, within a transaction of the backend."""
        self.flush()
        catalog, pending = self.engine.catalog, self.pending
        for table_id, version in pending.versions.items():
            pending.versions[table_id] = catalog.next_version(
                table_id, catalog.head + 1, pending, version
            )
        return catalog.write(pending, time.perf_counter() - started)

    def finish(self) -> None:
        """Call the hooks and bring the indexes up to date, once the transaction is visible."""
        for hook in self._commit_hooks:
            hook()
        live = {record.id for record in self.engine.catalog.tables()}
        self.engine.indexing.drain(live & self.pending.versions.keys())

    def result(
        self, result_type: type[ResultT], table_id: int, rows: int, **counts: int
    ) -> ResultT:
        """Return what the transaction did to a table, and warn of cells that stayed empty."""
        tally = self.tally
        warn_of_empty_cells(self.engine.catalog.record(table_id).name, tally)
        return result_type(
            rows=rows,
            errors=tally.errors,
            version=self.pending.versions[table_id].version,
            calls=tally.calls,
            hits=tally.hits,
            deferred=tally.deferred,
            **counts,
        )
