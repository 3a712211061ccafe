"""Lookups of the structure of tables: records, views, branches, and when they changed.

The lookups answer for the committed state; `pending.PendingCatalog` answers for the state that a
transaction prepares, and records what it has read.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from barbule.catalog.existing_tables import ExistingTables
from barbule.errors import TableNotFoundError, VersionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from barbule.catalog.metadata import Metadata
    from barbule.catalog.records import TableRecord

__all__ = ["TableStructures", "compacted_error"]

_NO_RECORDS: Mapping[int, TableRecord] = MappingProxyType({})


class TableStructures:
    """The structures that tables have now, and have had before.

    Parameters
    ----------
    metadata
        The metadata of the database, shared by all views of it.
    """

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self._cached_tables: tuple[tuple[int, int], ExistingTables] | None = None

    # The state of the database

    @property
    def structure(self) -> tuple[int, int]:
        """The number of the database, and the latest commit that changed a structure in it."""
        return self.metadata.structure

    @property
    def head(self) -> int:
        """The latest commit."""
        return self.metadata.head

    def refresh(self) -> int:
        """Load what other processes have committed; return the latest commit."""
        return self.metadata.refresh()

    # What a transaction adds and records

    is_pending = False
    """Whether it contains changes that are not committed."""

    @property
    def _pending_records(self) -> Mapping[int, TableRecord]:
        """The structures that are not committed yet."""
        return _NO_RECORDS

    def _track_structure_read(self, table_id: int) -> None:
        """Record that a transaction depends on the structure of a table."""

    def track_rows_read(self, *table_ids: int) -> None:
        """Record that a transaction depends on the live rows of tables."""

    # Tables

    def record(self, table_id: int, commit: int | None = None) -> TableRecord:
        """Return the structure of a table at a commit (None: the latest).

        Raises
        ------
        TableNotFoundError
            If it has been dropped, or did not exist yet.
        """
        history = self.metadata.records.get(table_id, [])
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
        """Return the tables that exist at a commit (None: now)."""
        if commit is not None:
            histories = list(self.metadata.records.values())
            records = [[record for at, record in history if at <= commit] for history in histories]
            return ExistingTables(known[-1] for known in records if known)
        cached = self._cached_tables
        if cached is not None and cached[0] == self.structure:
            return cached[1]
        with self.metadata.guard:  # all records of a commit are added under it
            committed = {
                table_id: history[-1][1] for table_id, history in self.metadata.records.items()
            }
            existing = ExistingTables({**committed, **self._pending_records}.values())
            self._cached_tables = self.structure, existing
        return existing

    def table_ids(self) -> list[int]:
        """Return the ids of all tables that exist or have existed."""
        return sorted(self.metadata.records)

    def history(self, table_id: int) -> list[tuple[int, TableRecord]]:
        """Return the structures that a table has had, each with the commit that made it."""
        return self.metadata.records.get(table_id, [])

    def _latest_record(self, table_id: int) -> TableRecord:
        return self.metadata.records[table_id][-1][1]

    def is_new(self, table_id: int) -> bool:
        """Whether a table is not committed yet."""
        return table_id not in self.metadata.records

    def next_table_id(self) -> int:
        """Return the id for a new table."""
        return max([*self.metadata.records, *self._pending_records], default=0) + 1

    def stable_name(self, table_id: int) -> str:
        """Name a table for what is stored elsewhere; a table that replaces it has the same name."""
        record = self._pending_records.get(table_id) or self._latest_record(table_id)
        return f"{record.name}#{table_id}" if record.dropped else record.name

    def dropped(self) -> list[TableRecord]:
        """Return the dropped tables whose rows a snapshot may refer to."""
        latest = [history[-1][1] for history in self.metadata.records.values()]
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
            history = self.metadata.records.get(table_id)
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
        records = self.metadata.records
        histories = (records[table_id] for table_id in tables if table_id in records)
        return any(history[-1][0] > commit for history in histories)

    def tables_restructured_since(self, commit: int) -> set[int]:
        """Return the tables whose structure has changed after a commit.

        A view or branch that has been created, changed or dropped counts as a change of the tables
        that it reads, too: what a change of their rows has to do depends on it.
        """
        changed: set[int] = set()
        for table_id, history in list(self.metadata.records.items()):
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
