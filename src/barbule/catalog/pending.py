"""What one commit is about to make visible, while a thread prepares it.

Owns what the preparing thread sees before the commit, and what it has read: other commits that
changed it meanwhile are conflicts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

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


@dataclass
class PendingCatalog:
    """The changes of a commit that is being prepared; only the preparing thread sees them.

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
    versions
        The new versions of tables, numbered when they are written.
    labels
        The labels that are set.
    readers
        The installed packages whose readers have read documents, by file extension.
    derived
        Values that were derived from the structure as the preparing thread sees it.
    existing
        The tables that exist as the preparing thread sees them, and the structure of the database
        for which that holds.
    """

    operation: str
    base_commit: int
    structures_read: set[int] = field(default_factory=set)
    rows_read: set[int] = field(default_factory=set)
    labels_read: bool = False
    records: dict[int, TableRecord] = field(default_factory=dict)
    versions: dict[int, Version] = field(default_factory=dict)
    labels: list[Label] = field(default_factory=list)
    readers: dict[str, str] = field(default_factory=dict)
    derived: dict[Hashable, DerivedValue] = field(default_factory=dict)
    existing: tuple[tuple[int, int], ExistingTables] | None = None

    def put(self, record: TableRecord) -> None:
        """Give a table a new structure, and drop what was derived from the previous one."""
        self.records[record.id] = record
        self.existing = None
        self.derived = {
            key: derived for key, derived in self.derived.items() if record.id not in derived.tables
        }
