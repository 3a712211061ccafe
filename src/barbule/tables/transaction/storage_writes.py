"""Writes that create and drop tables and columns of the backend, as records.

Owns how each of them changes the backend, before the rows are written, and how all writes print.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from barbule.planner.lowering.table_schemas import physical_schema

if TYPE_CHECKING:
    from barbule.backends.base import RowStore
    from barbule.catalog.records import TableRecord

__all__ = ["CreateStorage", "DropColumn", "DropStorage", "StorageWrite", "TableWrite"]


@dataclass(frozen=True, repr=False)
class TableWrite:
    """What is written to one table; it prints as what it does and the name of the table.

    Attributes
    ----------
    record
        The structure of the table.
    """

    record: TableRecord

    def __repr__(self) -> str:
        return f"<{self}: {self.record.name}>"


class StorageWrite(TableWrite, abc.ABC):
    """A change of the tables of the backend."""

    @abc.abstractmethod
    def apply(self, store: RowStore) -> None:
        """Write it."""


class CreateStorage(StorageWrite):
    """The creation of the table for the rows."""

    def apply(self, store: RowStore) -> None:
        """Create it."""
        store.create_table(self.record.physical, physical_schema(self.record))

    def __str__(self) -> str:
        return "create storage"


class DropStorage(StorageWrite):
    """The removal of the rows of all versions."""

    def apply(self, store: RowStore) -> None:
        """Drop the table for the rows."""
        store.drop_table(self.record.physical)

    def __str__(self) -> str:
        return "drop storage"


@dataclass(frozen=True, repr=False)
class DropColumn(StorageWrite):
    """The removal of a column, by its physical name, that no version uses any more."""

    column: str

    def apply(self, store: RowStore) -> None:
        """Drop it."""
        store.drop_column(self.record.physical, self.column)

    def __str__(self) -> str:
        return f"drop {self.column}"
