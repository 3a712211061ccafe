"""The catalog as a transaction sees it: the committed state, with the changes of its own.

Owns these changes, which nobody else sees before the commit, and what the transaction has read:
other commits that change it meanwhile are conflicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.catalog.catalog_reader import CatalogReader

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from barbule.catalog.existing_tables import ExistingTables
    from barbule.catalog.records import Label, TableRecord, Version

__all__ = ["DerivedValue", "PendingCatalog"]


@dataclass(frozen=True)
class DerivedValue:
    """A value that was derived from the structure of tables.

    Attributes
    ----------
    value
        What was derived.
    tables
        The tables whose records it was derived from.
    structure
        The structure of the database for which the value is valid.
    """

    value: Any
    tables: frozenset[int]
    structure: tuple[int, int]


class PendingCatalog(CatalogReader):
    """The catalog with the changes of one commit that is being prepared.

    Parameters
    ----------
    committed
        The committed state.

    Attributes
    ----------
    operation
        The verb that makes the commit.
    base_commit
        The latest commit when the preparation began.
    structures_read, rows_read, labels_read
        The tables whose structure and those whose live rows the preparation has read; and whether
        it has read which versions labels and snapshots refer to.
    records
        The new structures of tables: read here, written by `put`.
    new_versions
        The new versions of tables, numbered when they are written.
    new_labels
        The labels that are set.
    readers
        The installed packages whose readers have read documents, by file extension.
    derived
        Values that were derived from new structures.
    """

    is_pending = True

    def __init__(self, committed: CatalogReader, operation: str) -> None:
        super().__init__(committed.metadata)
        self._committed = committed
        self.operation = operation
        self.base_commit = self.head
        self.structures_read: set[int] = set()
        self.rows_read: set[int] = set()
        self.labels_read = False
        self.records: dict[int, TableRecord] = {}
        self.new_versions: dict[int, Version] = {}
        self.new_labels: list[Label] = []
        self.readers: dict[str, str] = {}
        self.derived: dict[Hashable, DerivedValue] = {}

    def put(self, record: TableRecord) -> None:
        """Give a table a new structure, and drop what was derived from the previous one."""
        self.records[record.id] = record
        self._cached_tables = None
        self.derived = {
            key: derived for key, derived in self.derived.items() if record.id not in derived.tables
        }

    @property
    def _pending_records(self) -> Mapping[int, TableRecord]:
        return self.records

    def _track_structure_read(self, table_id: int) -> None:
        self.structures_read.add(table_id)

    def track_rows_read(self, *table_ids: int) -> None:
        """Record that the transaction depends on the live rows of tables."""
        self.rows_read.update(table_ids)

    def _track_labels_read(self) -> None:
        self.labels_read = True

    def record(self, table_id: int, commit: int | None = None) -> TableRecord:
        """Return the structure of a table at a commit (None: as the transaction sees it)."""
        if commit is None:
            self.structures_read.add(table_id)
            if table_id in self.records:
                return self.records[table_id]
        return super().record(table_id, commit)

    def _existing(self, commit: int | None = None) -> ExistingTables:
        if not self.records:
            return self._committed._existing(commit)
        return super()._existing(commit)
