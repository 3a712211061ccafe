"""A transaction: everything that one mutation does to tables and views, visible at one commit.

Owns the check that the data that its preparation has read is unchanged, and the publication of its
write set; `commit` owns the order of these.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from barbule.tables.transaction.isolation import MediaDeleted, StructureChanged
from barbule.tables.transaction.media_references import find_deleted_media
from barbule.tables.transaction.results import warn_of_empty_cells
from barbule.tables.transaction.write_set import WriteSet
from barbule.tables.transaction.writes import RemoveHistory
from barbule.tracing import active, annotate, span
from barbule.types import holds_media

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import Commit
    from barbule.nodes import ManagedTable
    from barbule.tables.transaction.results import ResultT

__all__ = ["Transaction"]

# The backend does not cache rows of a larger transaction.
_LARGE_BYTES = 256 << 20


class Transaction(WriteSet):
    """A commit under construction: it reads a consistent state and collects its writes."""

    def leaf(self, leaf: ManagedTable) -> ManagedTable:
        """Return a leaf as the transaction sees its table."""
        return leaf.copy(source=self.engine)

    def table(self, table: ir.Table) -> ir.Table:
        """Return a table as the transaction sees it."""
        return self.engine.table_of(self.leaf(table.op()))

    def check_structures(self) -> None:
        """Check that the structures that the operation has read are unchanged.

        Raises
        ------
        StructureChanged
            If another transaction has changed one, or has created tables while this transaction
            creates one: names and ids of tables must not be used twice.
        """
        catalog, pending = self.engine.database.catalog, self.pending
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
        """Whether the rows that were read are still live, and labels are unchanged."""
        catalog, pending = self.engine.database.catalog, self.pending
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
            If another transaction has deleted one since the operation began.
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
        """Write everything collected so far, within the transaction of the backend."""
        self.check_media()
        catalog, commit = self.engine.catalog, self.engine.catalog.head + 1
        first_rids = {
            table_id: versions[-1].next_rid if (versions := catalog.versions(table_id)) else 0
            for table_id in self.pending.new_versions
        }
        for storage_write in self._storage_writes:
            storage_write.apply(self.engine.backend)
        for name, dtypes in self._new_columns.items():
            values = self._new_column_values.get(name, {})
            self.engine.backend.add_columns(name, dtypes, values)
        for write in self._writes:
            rows = write.apply(self.engine.backend, commit, first_rids)
            if isinstance(write, RemoveHistory):
                self.removed_states += rows
            elif rows:
                self.touch(write.record.id, rows=rows)
        self._storage_writes.clear()
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
            span("commit", self.pending.operation),
            self.engine.ledger.joining(backend) as write_answers,
            backend.transaction(
                large=self._bytes > _LARGE_BYTES, invalidates_plans=self._invalidates_plans()
            ),
        ):
            commit = self.write_commit(started)
            write_answers()
        self.engine.database.catalog.publish(self.pending, commit)

    def _invalidates_plans(self) -> bool:
        """Whether existing plans may be wrong afterwards.

        They depend on the structure of tables, and on whether rows of them have ever ended.
        """
        catalog, pending = self.engine.database.catalog, self.pending
        return bool(pending.records) or any(
            version.closed and not catalog.has_closed_rows(table_id)
            for table_id, version in pending.new_versions.items()
        )

    def write_commit(self, started: float) -> Commit:
        """Write the rest and the commit itself, within a transaction of the backend."""
        self.flush()
        catalog, pending = self.engine.database.catalog, self.pending
        pending.readers = dict(self.engine.library.isolation.readers_used)
        for table_id, version in pending.new_versions.items():
            pending.new_versions[table_id] = catalog.next_version(
                table_id, catalog.head + 1, pending, version
            )
        commit = catalog.write(pending, time.perf_counter() - started)
        if active():
            changed = pending.new_versions.items()
            rows = {pending.record(table_id).name: version.rows for table_id, version in changed}
            annotate(commit=commit.id, rows=rows)
        return commit

    def finish(self) -> None:
        """Update the indexes, after the transaction is visible."""
        for record, index in self._dropped_indexes:
            self.engine.indexing.drop(record, index)
        live = {record.id for record in self.engine.database.catalog.tables()}
        self.engine.indexing.schedule(live & self.pending.new_versions.keys())

    def result(
        self, result_type: type[ResultT], table_id: int, rows: int, **counts: int
    ) -> ResultT:
        """Return the result of the transaction for a table, and warn about empty cells."""
        tally = self.tally
        warn_of_empty_cells(self.engine.catalog.record(table_id).name, tally)
        return result_type(
            rows=rows,
            errors=tally.errors,
            version=self.pending.new_versions[table_id].version,
            calls=tally.calls,
            hits=tally.hits,
            deferred=tally.deferred,
            **counts,
        )
