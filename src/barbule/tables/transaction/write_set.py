"""The write set of a transaction: its changes, collected while it is prepared.

Owns the structures, versions, storage and rows that it writes to tables, and the queue of views
that are refreshed at the end. `transaction` checks and publishes it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.backends.base import RID
from barbule.catalog.records import TableRecord, Version
from barbule.executor.calls.provenance import PROVISIONAL
from barbule.executor.results.spilling import table_bytes
from barbule.nodes import CELL_ERROR_TYPE
from barbule.tables.transaction.storage_writes import CreateStorage, DropColumn, DropStorage
from barbule.tables.transaction.writes import (
    AppendRows,
    EndFromQuery,
    EndRows,
    FillColumn,
    FillFromQuery,
    RemoveHistory,
    RemoveStates,
    ReplaceFromQuery,
)
from barbule.types import storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.pending import PendingCatalog
    from barbule.catalog.records import Column, Index
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.storage_writes import StorageWrite
    from barbule.tables.transaction.writes import Write

__all__ = ["WriteSet"]


class WriteSet:
    """The pending changes of a commit.

    Attributes
    ----------
    pending
        The pending changes of the catalog.
    since
        The latest commit when the operation began.
    new_rows
        The rows, by table id, that are new or have a new state: inputs of dependent computations.
    appended, ended
        All rows that are written, and the row ids of those that end, by table id.
    changed_columns
        The columns that have new values in rows that stay, by table id.
    overlays
        Rows, by table id, that queries with a full refresh read instead of the entire table.
    rebuilt_views
        The views with a full refresh whose rows are all rewritten.
    removed_states
        The number of states of rows that were removed permanently from the history.
    lenient
        Whether a function that fails leaves the cell of its computed column empty, although it
        would end the operation by itself.
    """

    def __init__(self, engine: Engine, pending: PendingCatalog, since: int) -> None:
        self.engine = engine
        self.pending = pending
        self.since = since
        self.tally = engine.begin().tally
        self.new_rows: dict[int, pa.Table] = {}
        self.appended: dict[int, list[pa.Table]] = {}
        self.ended: dict[int, list[pa.Array]] = {}
        self.changed_columns: dict[int, set[str]] = {}
        self.overlays: dict[int, pa.Table] = {}
        self.rebuilt_views: set[int] = set()
        self.removed_states = 0
        self.lenient = False
        self._refresh_queue: set[int] = set()
        self._storage_writes: list[StorageWrite] = []
        self._new_columns: dict[str, dict[str, dt.DataType]] = {}
        self._new_column_values: dict[str, dict[str, pa.Table]] = {}
        self._bytes = 0
        self._writes: list[Write] = []
        self._dropped_indexes: list[tuple[TableRecord, Index]] = []

    @property
    def writes(self) -> list[StorageWrite | Write]:
        """The writes that are collected so far, in the order in which they are applied."""
        return [*self._storage_writes, *self._writes]

    # Structures and versions

    def put_record(self, record: TableRecord) -> None:
        """Set the structure of a table."""
        self.pending.put(record)
        self.touch(record.id)

    def touch(self, table_id: int, *, rows: int = 0, rids: int = 0, closed: bool = False) -> None:
        """Make the transaction a version of a table.

        Parameters
        ----------
        rows
            The number of rows that were written or removed.
        rids
            The number of new row ids.
        closed
            Whether rows ended.
        """
        versions = self.pending.new_versions
        version = versions.get(table_id) or Version(table_id, 0, 0, "", 0, 0, False)
        versions[table_id] = replace(
            version,
            rows=version.rows + rows,
            next_rid=version.next_rid + rids,
            closed=version.closed or closed,
        )

    def row_count(self, table_id: int) -> int:
        """Return the number of rows of a table that were written or removed."""
        return self.pending.new_versions[table_id].rows

    def allocate_rids(self, table_id: int, count: int) -> pa.Array:
        """Return provisional ids for new rows, which become final when they are published."""
        import numpy as np
        import pyarrow as pa

        self.touch(table_id)
        first = PROVISIONAL + self.pending.new_versions[table_id].next_rid
        self.touch(table_id, rids=count)
        return pa.array(np.arange(first, first + count, dtype=np.int64))

    # Storage

    def create_storage(self, record: TableRecord) -> None:
        """Create the backend's table for the rows of a table."""
        self._storage_writes.append(CreateStorage(record))

    def drop_storage(self, record: TableRecord) -> None:
        """Drop the rows of a table, and those of all its versions."""
        self._storage_writes.append(DropStorage(record))

    def add_column(self, record: TableRecord, column: Column) -> None:
        """Add the backend's columns for the values of a column, and for its errors."""
        new_columns = self._new_columns.setdefault(record.physical, {})
        new_columns[column.physical] = storage(column.dtype)
        if column.fallible:
            new_columns[column.errors] = CELL_ERROR_TYPE

    def drop_column(self, record: TableRecord, name: str) -> None:
        """Drop a column of the backend that no version uses any more."""
        self._storage_writes.append(DropColumn(record, name))

    def without_new_columns(self, record: TableRecord) -> TableRecord:
        """Return the record without the columns that are not in the backend yet."""
        new_columns = self._new_columns.get(record.physical, {})
        columns = tuple(column for column in record.columns if column.physical not in new_columns)
        return replace(record, columns=columns) if new_columns else record

    # Rows

    def append(self, record: TableRecord, rows: pa.Table) -> None:
        """Write new rows, or new states of rows, of a table."""
        self.appended.setdefault(record.id, []).append(rows)
        self._bytes += table_bytes(rows)
        self.schedule_readers(record)
        self._writes.append(AppendRows(record, rows))

    def end_rows(self, record: TableRecord, rids: pa.Array) -> None:
        """End rows."""
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
            self._bytes += table_bytes(values)
        else:
            self._writes.append(FillColumn(record, column, values))

    def replace_from_query(
        self, record: TableRecord, query: ir.Table, carried: Sequence[str]
    ) -> None:
        """Write new states of rows, with the values that a query gives, within the backend.

        Only if nothing depends on the rows of the table.

        Parameters
        ----------
        carried
            The physical columns that rows keep from their old states.
        """
        self.touch(record.id, closed=True)
        self._writes.append(ReplaceFromQuery(record, query, carried))

    def end_from_query(self, record: TableRecord, query: ir.Table) -> None:
        """End the rows whose ids a query returns, within the backend."""
        self.touch(record.id, closed=True)
        self._writes.append(EndFromQuery(record, query))

    def fill_from_query(self, record: TableRecord, query: ir.Table, column: str | None) -> None:
        """Set columns of live rows to the result of a query over them, within the backend.

        Only if nothing depends on the rows of the table.

        Parameters
        ----------
        column
            The name of the column, if it is one, for errors.
        """
        self._writes.append(FillFromQuery(record, query, column))

    def remove_states(
        self, record: TableRecord, rids: Sequence[int], hiding_states: pa.Table
    ) -> None:
        """Remove all states of rows permanently; see `RemoveStates`."""
        self._writes.append(RemoveStates(record, rids, hiding_states))

    def remove_history(
        self,
        record: TableRecord,
        before: int,
        retained: Sequence[int] = (),
        hiding_states: pa.Table | None = None,
    ) -> None:
        """Remove states that ended by a commit permanently; see `RemoveHistory`."""
        self._writes.append(RemoveHistory(record, before, retained, hiding_states))

    # Views

    def schedule_readers(self, record: TableRecord) -> None:
        """Schedule the full refresh of the views whose query reads a table."""
        self._refresh_queue |= {view.id for view in self.engine.catalog.queries_over(record.id)}

    def schedule_refresh(self, view_id: int) -> None:
        """Schedule the full refresh of a view, at the end of the preparation."""
        self._refresh_queue.add(view_id)

    def rebuild_view(self, view_id: int) -> None:
        """Schedule the full refresh of a view, with all of its rows rewritten."""
        self.rebuilt_views.add(view_id)
        self.schedule_refresh(view_id)

    def next_refresh(self) -> int | None:
        """Take the next view of the refresh queue; None if it is empty."""
        if not self._refresh_queue:
            return None
        view_id = min(self._refresh_queue)  # the tables that it reads were created before it
        self._refresh_queue.remove(view_id)
        return view_id

    # After the commit

    def drop_index(self, record: TableRecord, index: Index) -> None:
        """Drop the vectors of an index, once the transaction is visible."""
        self._dropped_indexes.append((record, index))
