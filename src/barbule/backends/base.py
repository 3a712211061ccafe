"""The protocols of backends: `Backend` is a `Connection`, a `Reader` and a `RowStore`.

Each is the interface for some of the modules above. An adapter stores rows and columns of plain
types; it does not know versions, functions or media.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from barbule.errors import DataError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    import ibis.expr.datatypes as dt
    import ibis.expr.operations as ops
    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa
    from ibis.backends import BaseBackend

__all__ = [
    "BASE",
    "FOREVER",
    "FROM",
    "RID",
    "TO",
    "Adapter",
    "Backend",
    "Connection",
    "Reader",
    "RowStore",
    "Staged",
    "type_mismatch",
]

# The columns of all row tables: the row id, and the commits between which a row is live; in a view
# also the row id of its base row.
RID = "_rid"
FROM = "_from"
TO = "_to"
BASE = "_base"
FOREVER = 2**63 - 1  # `_to` of a live row: a number compares 2-4 times faster than NULL

Staged = Mapping[str, "pa.Table"]


class Connection(Protocol):
    """The connections of threads to a database: the write lock, transactions, other processes."""

    name: str
    many_writers: bool  # whether other processes may commit while this one reads

    def use(self) -> AbstractContextManager[None]:
        """Keep the database open in this context; contexts may be nested.

        A database that only one process can open is handed over to another process that waits for
        it when nobody in this process uses it.

        Raises
        ------
        LockedError
            If another process holds it for too long; the message contains its pid.
        """

    def check_writable(self) -> None:
        """Check, cheaply, that the database is writable, as far as this is known.

        Raises
        ------
        ConfigurationError
            If the database is read-only.
        DiskError
            If its file no longer exists.
        """

    def write_lock(self) -> AbstractContextManager[None]:
        """Hold the write lock: no other thread or process changes rows and metadata.

        A thread that holds the lock may take it again.

        Raises
        ------
        LockedError
            If another process holds it for too long; the message contains its pid.
        """

    def stamp(self) -> object:
        """Return a value, cheaply, that differs after another process or session has committed."""

    def plan_epoch(self) -> object:
        """Return a value that differs if queries that were planned before may be invalid.

        If a transaction is about to invalidate them, its end is awaited.
        """

    def transaction(
        self, *, large: bool = False, invalidates_plans: bool = False
    ) -> AbstractContextManager[None]:
        """Commit the calling thread's writes atomically.

        Parameters
        ----------
        large
            Whether the writes may be larger than memory.
        invalidates_plans
            Whether queries that were planned before it may be invalid after it.
        """

    def snapshot(self) -> AbstractContextManager[int]:
        """Let the calling thread read at one commit in this context; return the commit."""

    def separate(self) -> Self:
        """Return a backend whose writes are committed independently of this one's."""

    def disconnect(self) -> None:
        """Close all connections."""


class Reader(Protocol):
    """Queries, and what is stored.

    `staged` are Arrow tables, by name, that a query reads in addition to the stored ones.
    """

    has_infinite_floats: bool  # whether floats that overflow are infinite, instead of an error

    @property
    def ibis(self) -> BaseBackend:
        """The Ibis backend, the same one for all threads."""

    def table(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Return the leaf of a stored or staged table."""

    def tables(self) -> set[str]:
        """Return the names of the stored tables."""

    def columns(self, name: str) -> set[str]:
        """Return the names of the columns of a stored table; none if there is no such table."""

    def staging(self, staged: Staged) -> AbstractContextManager[BaseBackend]:
        """Make staged tables readable on the calling thread's Ibis backend, and return it."""

    def arrow(self, query: ir.Table, staged: Staged) -> pa.Table:
        """Run a query and return its rows."""

    def batches(self, query: ir.Table, staged: Staged, size: int) -> Iterator[pa.RecordBatch]:
        """Run a query and return its rows in batches of about `size`."""

    def changes(
        self, rows: ir.Table, column: str, since: int, until: int
    ) -> tuple[pa.ChunkedArray, pa.Table]:
        """Return the changes of states of rows between two commits.

        Parameters
        ----------
        rows
            A stored table of states.

        Returns
        -------
        tuple
            The ids of the rows of which a state has ended; and row id and column of the states that
            began and are live at the later commit, except those without a value.
        """

    def rows_with_values(self, rows: ir.Table, column: str, values: Sequence[str]) -> pa.Table:
        """Return the rows whose value in a column of strings is one of these.

        Parameters
        ----------
        rows
            A stored table, or some of its columns.
        values
            A small number: they are written into the query.
        """

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Return the expression for the similarity of two vectors; larger is nearer."""

    def first_unstorable(self, values: pa.Array, dtype: dt.DataType) -> int | None:
        """Return the index of the first value that the database cannot store, if any."""


class RowStore(Protocol):
    """Tables of rows: their columns, new rows, and the lifetime of rows."""

    # Tables and columns

    def create_table(self, name: str, schema: sch.Schema) -> None:
        """Create a table; one with the same name that a crash left is replaced."""

    def drop_table(self, name: str) -> None:
        """Drop a table, if it exists."""

    def add_column(self, name: str, column: str, dtype: dt.DataType) -> None:
        """Add an empty column; one with the same name that a crash left is replaced."""

    def add_columns(
        self, name: str, dtypes: Mapping[str, dt.DataType], values: Mapping[str, pa.Table]
    ) -> None:
        """Add columns as `add_column` does, and set some of them as `fill_column` does."""

    def drop_column(self, name: str, column: str) -> None:
        """Drop a column, if it exists."""

    # New rows

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows, matched by column name; other columns are NULL."""

    def append_query(self, name: str, query: ir.Table, staged: Staged) -> int:
        """Append the rows of a query, matched by column name; return their number."""

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert a few rows of plain values, all with the same columns."""

    # The lifetime of rows

    def end_rows(self, name: str, rids: Sequence[int] | pa.Array, commit: int) -> None:
        """End the live rows with these ids at a commit."""

    def end_query_rows(self, name: str, query: ir.Table, commit: int, staged: Staged) -> int:
        """End the live rows whose ids a query returns; return their number."""

    def replace_rows(
        self, name: str, query: ir.Table, commit: int, unchanged: Sequence[str] = ()
    ) -> int:
        """Append new states of live rows, and end their old ones.

        Parameters
        ----------
        query
            Reads live rows of the table; returns their ids and new values of columns.
        commit
            The commit that is being made, at which the new states begin.
        unchanged
            The columns whose values stay the same; others are NULL.

        Returns
        -------
        int
            The number of rows with a new state.
        """

    def purge_rows(self, name: str, before: int, retained: Sequence[int]) -> int:
        """Delete the rows that ended by a commit; return their number.

        Parameters
        ----------
        retained
            Commits: rows that were live at one of them remain.
        """

    # Values of existing rows

    def fill_column(self, name: str, column: str, rows: pa.Table) -> None:
        """Set a column of live rows; `rows` has the row ids and, as `column`, the values."""

    def fill_columns(self, name: str, query: ir.Table) -> int:
        """Set columns of live rows to the values of a query over them; return the number of rows.

        Parameters
        ----------
        query
            Reads live rows of the table; returns their ids and, by name, values of columns. Each
            value is computed from its own row.
        """

    def delete_rows(self, name: str, predicate: Mapping[str, Any]) -> None:
        """Delete the rows whose columns have these values."""

    def delete_with_values(
        self, name: str, column: str, values: Sequence[str] | Sequence[int]
    ) -> None:
        """Delete the rows whose value in a column of strings or integers is one of these."""


class Backend(Connection, Reader, RowStore, Protocol):
    """A database, reached through Ibis, that stores rows of plain types.

    Each thread has its own connection.
    """


class Adapter(Protocol):
    """The opener of databases for a URL scheme: a module, or an object, with two functions.

    A package declares it as an entry point of `barbule.backends`, by the name of the scheme.
    """

    def open_backend(self, url: str, lock_timeout: float, home: Path | None = None) -> Backend:
        """Open the database of a URL."""

    def is_persistent(self, url: str) -> bool:
        """Whether the database of a URL outlives its session."""


def type_mismatch(column: str, dtype: pa.DataType, reason: Exception) -> DataError:
    """Return the error about a result that does not fit the type of its column."""
    return DataError(
        f"a result does not fit {dtype}: {str(reason).splitlines()[0]}.",
        column=column,
        hint="Cast the operands to a larger type: decimal(38, 0) for whole numbers, or float64.",
    )
