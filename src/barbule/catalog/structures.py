"""Lookups of the structure of tables: records, views, branches, and when they changed.

Each lookup that depends on more than one table's own record is tracked in the pending commit of
the calling thread, so that a concurrent change of it is a conflict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.catalog.existing_tables import ExistingTables
from barbule.catalog.metadata import MetadataCache
from barbule.errors import TableNotFoundError, VersionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from barbule.catalog.records import TableRecord

__all__ = ["TableStructures", "compacted_error"]


class TableStructures(MetadataCache):
    """The structures that tables have now, and have had before."""

    _committed_tables: tuple[tuple[int, int], ExistingTables] | None = None

    @property
    def _pending_records(self) -> Mapping[int, TableRecord]:
        """The structures of the commit that the calling thread prepares."""
        return self.pending.records if self.pending else {}

    def _track_structure_read(self, table_id: int) -> None:
        if self.pending:
            self.pending.structures_read.add(table_id)

    def track_rows_read(self, *table_ids: int) -> None:
        """Record that the pending commit of the calling thread depends on live rows of tables."""
        if self.pending:
            self.pending.rows_read.update(table_ids)

    def record(self, table_id: int, commit: int | None = None) -> TableRecord:
        """Return the structure of a table at a commit (None: the latest).

        Raises
        ------
        TableNotFoundError
            If it has been dropped, or did not exist yet.
        """
        pending = self.pending
        if commit is None and pending:
            pending.structures_read.add(table_id)
            if table_id in pending.records:
                return pending.records[table_id]
        history = self._records.get(table_id, [])
        latest = history[-1][1] if history else None
        if commit is None and latest is not None and not latest.dropped:
            return latest
        records = [record for at, record in history if commit is None or at <= commit]
        purged = latest and latest.dropped and (commit is None or not latest.holds(commit))
        if not records or records[-1].dropped or purged:
            name = history[-1][1].name if history else f"with the number {table_id}"
            raise TableNotFoundError(
                f"the table {name!r} has been dropped or replaced."
                if records
                else f"the table {name!r} did not exist at that version.",
                hint="Get it again with bb.get_table(...).",
            )
        if commit is not None and not history[-1][1].holds(commit):
            raise compacted_error(history[-1][1])
        return records[-1]

    def find(self, name: str, commit: int | None = None) -> TableRecord | None:
        """Return the table of that name, or None."""
        return self._existing(commit).by_name.get(name)

    def tables(self, commit: int | None = None) -> list[TableRecord]:
        """Return all tables and views that exist (or existed at a commit), by name."""
        return list(self._existing(commit).tables)

    def _existing(self, commit: int | None = None) -> ExistingTables:
        """Return the tables that exist at a commit, as the calling thread sees them."""
        if commit is not None:
            histories = list(self._records.values())
            records = [[record for at, record in history if at <= commit] for history in histories]
            return ExistingTables(known[-1] for known in records if known)
        pending = self.pending if self._pending_records else None
        cache = self._committed_tables if pending is None else pending.existing
        if cache is not None and cache[0] == self.structure:
            return cache[1]
        with self._guard:  # all records of a commit are added under it
            latest = {table_id: history[-1][1] for table_id, history in self._records.items()}
            existing = ExistingTables({**latest, **self._pending_records}.values())
            if pending is None:
                self._committed_tables = self.structure, existing
            else:
                pending.existing = self.structure, existing
        return existing

    def table_ids(self) -> list[int]:
        """Return the ids of all tables that exist or have existed."""
        return sorted(self._records)

    def history(self, table_id: int) -> list[tuple[int, TableRecord]]:
        """Return the structures that a table has had, each with the commit that made it."""
        return self._records.get(table_id, [])

    def _latest_record(self, table_id: int) -> TableRecord:
        return self._records[table_id][-1][1]

    def is_new(self, table_id: int) -> bool:
        """Whether a table is not committed yet."""
        return table_id not in self._records

    def next_table_id(self) -> int:
        """Return the id for a new table."""
        return max([*self._records, *self._pending_records], default=0) + 1

    def stable_name(self, table_id: int) -> str:
        """Name a table for what is stored elsewhere; a table that replaces it has the same name."""
        record = self._pending_records.get(table_id) or self._latest_record(table_id)
        return f"{record.name}#{table_id}" if record.dropped else record.name

    def dropped(self) -> list[TableRecord]:
        """Return the dropped tables whose rows a snapshot may refer to."""
        latest = [history[-1][1] for history in self._records.values()]
        return [record for record in latest if record.dropped and record.retained_commits]

    # Dependencies between tables

    def with_bases(self, tables: Iterable[int]) -> frozenset[int]:
        """Return tables, and the bases of those that are views row by row."""
        closure: set[int] = set()
        queue = list(tables)
        while queue:
            table_id = queue.pop()
            if table_id in closure:
                continue
            closure.add(table_id)
            history = self._records.get(table_id)
            record = self._pending_records.get(table_id) or (history[-1][1] if history else None)
            if record is not None and record.view and not record.view.bases:
                queue.append(record.view.base)
        return frozenset(closure)

    def views_of(self, table_id: int) -> list[TableRecord]:
        """Return the views of a table row by row."""
        self._track_structure_read(table_id)
        return list(self._existing().views.get(table_id, ()))

    def queries_over(self, table_id: int) -> list[TableRecord]:
        """Return the views that are refreshed as a whole and whose query reads a table."""
        self._track_structure_read(table_id)
        return list(self._existing().queries.get(table_id, ()))

    def branches_of(self, table_id: int) -> list[TableRecord]:
        """Return the branches of a table."""
        self._track_structure_read(table_id)
        return list(self._existing().branches.get(table_id, ()))

    # Changes

    def structure_changed_since(self, commit: int, tables: Iterable[int] | None = None) -> bool:
        """Whether the structure of any table, or of any of these, has changed after a commit."""
        if tables is None:
            return self.structure[1] > commit
        histories = (self._records[table_id] for table_id in tables if table_id in self._records)
        return any(history[-1][0] > commit for history in histories)

    def tables_restructured_since(self, commit: int) -> set[int]:
        """Return the tables whose structure has changed after a commit.

        A view or branch that has been created, changed or dropped counts as a change of the tables
        that it reads, too: what a change of their rows has to do depends on it.
        """
        changed: set[int] = set()
        for table_id, history in list(self._records.items()):
            for at, record in reversed(history):
                if at <= commit:
                    break
                changed |= {table_id, *record.reads}
        return changed


def compacted_error(record: TableRecord) -> VersionError:
    """Make the error about a version whose rows have been dropped."""
    return VersionError(
        "the rows of this version were removed by drop_table() or compact().",
        table=record.name,
        hint="Labels and snapshots protect versions from removal; history() lists the available "
        "versions.",
    )
