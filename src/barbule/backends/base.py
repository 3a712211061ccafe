"""What barbule asks of a backend.

Owns the `Backend` protocol and the way from a URL to an adapter. An adapter knows rows and
columns of plain types; versions, functions and media are unknown to it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from barbule.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    import ibis.expr.datatypes as dt
    import ibis.expr.operations as ops
    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa

__all__ = [
    "BASE",
    "FOREVER",
    "FROM",
    "RID",
    "TO",
    "Backend",
    "Staged",
    "is_persistent",
    "open_backend",
    "type_mismatch",
]

# The columns of all tables of rows: identity, and the commits between which a row lives; in a
# view also the identity of the row that it comes from.
RID = "_rid"
FROM = "_from"
TO = "_to"
BASE = "_base"
FOREVER = 2**63 - 1  # `_to` of a live row: a number compares 2-4 times faster than NULL

Staged = Mapping[str, "pa.Table"]


class Backend(Protocol):
    """A database, reached through Ibis, that keeps rows of plain types.

    Each thread has a connection of its own. `staged` names Arrow tables that a query reads
    beside the stored ones.
    """

    name: str
    many_writers: bool  # whether other processes may commit while this one reads
    has_infinite_floats: bool  # whether floats that overflow are infinite, and no error

    @property
    def ibis(self) -> Any:
        """The Ibis backend, the same one for all threads."""

    def use(self) -> AbstractContextManager[None]:
        """Keep the database open meanwhile; it may be used within a use of it.

        A database that one process opens at a time is handed to another that waits for it when
        nobody here uses it.

        Raises
        ------
        LockedError
            When another process keeps it for too long; its pid is named.
        """

    def check_writable(self) -> None:
        """Make sure, cheaply, that what is prepared now can be written, as far as it is known.

        Raises
        ------
        ConfigurationError
            When the database can only be read.
        DiskError
            When its file is not there any more.
        """

    def write_lock(self) -> AbstractContextManager[None]:
        """Be the only thread of all processes that changes rows and metadata meanwhile.

        A thread that has this right may take it again.

        Raises
        ------
        LockedError
            When another one keeps it for too long; its pid is named.
        """

    def stamp(self) -> object:
        """Return a cheap value that differs once another process or session may have committed."""

    def plan_epoch(self) -> object:
        """Return what differs once queries that were planned before may be wrong.

        Where a transaction is about to make them so, its end is awaited.
        """

    def table(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Make the leaf of a stored or staged table."""

    def staging(self, staged: Staged) -> AbstractContextManager[Any]:
        """Make staged tables readable on the calling thread's Ibis backend, and give it."""

    def arrow(self, query: ir.Table, staged: Staged) -> pa.Table:
        """Run a query and return its rows."""

    def changes(
        self, rows: ir.Table, column: str, since: int, until: int
    ) -> tuple[pa.ChunkedArray, pa.Table]:
        """Return what has changed in the states of rows between two commits.

        Parameters
        ----------
        rows
            A stored table of states.

        Returns
        -------
        tuple
            The identities of the rows of which a state has ended; and identity and column of
            the states that began and live at the later commit, those without a value left out.
        """

    def rows_with_values(self, rows: ir.Table, column: str, values: Sequence[str]) -> pa.Table:
        """Return the rows in which a column of texts has one of these values.

        Parameters
        ----------
        rows
            A stored table, or what is known of its columns.
        values
            A few: they are written into the query.
        """

    def first_unstorable(self, values: pa.Array, kind: dt.DataType) -> int | None:
        """Return the place of the first value that the database cannot keep, if there is one."""

    def batches(self, query: ir.Table, staged: Staged, size: int) -> Iterator[pa.RecordBatch]:
        """Run a query and return its rows in batches of about `size`."""

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Make the value that says how similar two vectors are; larger is nearer."""

    def create(self, name: str, schema: sch.Schema) -> None:
        """Create a table; one of the same name that a crash left is replaced."""

    def drop(self, name: str) -> None:
        """Drop a table, if it is there."""

    def add_column(self, name: str, column: str, dtype: Any) -> None:
        """Add an empty column; one of the same name that a crash left is replaced."""

    def add_columns(
        self, name: str, kinds: Mapping[str, Any], filled: Mapping[str, pa.Table]
    ) -> None:
        """Add columns as `add_column` does, and set some of them as `fill` does."""

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows, matched by column name; other columns are empty."""

    def append_query(self, name: str, query: ir.Table, staged: Staged) -> int:
        """Append the rows of a query, matched by column name; return how many."""

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert a few rows of plain values, all with the same columns."""

    def close(self, name: str, rids: Sequence[int] | pa.Array, commit: int) -> None:
        """End the life of the live rows with these identities at a commit."""

    def close_query(self, name: str, query: ir.Table, commit: int, staged: Staged) -> int:
        """End the life of the live rows whose identities a query gives; return how many."""

    def replace_query(
        self, name: str, query: ir.Table, commit: int, kept: Sequence[str] = ()
    ) -> int:
        """Append new states of live rows, and end their old ones.

        Parameters
        ----------
        query
            Reads live rows of the table, and gives their identities and new values of columns.
        commit
            The commit that is being made, at which the new states begin.
        kept
            The columns that keep their values; others are empty.

        Returns
        -------
        int
            How many rows have a new state.
        """

    def fill(self, name: str, column: str, rows: pa.Table) -> None:
        """Set a column of live rows; `rows` has the identities and, as `column`, the values."""

    def fill_query(self, name: str, query: ir.Table) -> int:
        """Set columns of live rows to what a query of them gives; return of how many.

        Parameters
        ----------
        query
            Reads live rows of the table, and gives their identities and, by their names, values
            of columns. Each value is made of its own row.
        """

    def delete(self, name: str, predicate: Mapping[str, Any]) -> None:
        """Delete the rows whose columns have these values."""

    def delete_with_values(
        self, name: str, column: str, values: Sequence[str] | Sequence[int]
    ) -> None:
        """Delete the rows in which a column of texts or whole numbers has one of these values."""

    def drop_column(self, name: str, column: str) -> None:
        """Drop a column, if it is there."""

    def purge(self, name: str, before: int, keep: Sequence[int]) -> int:
        """Delete the rows that ended by a commit; return how many.

        Parameters
        ----------
        keep
            Commits: rows that lived at one of them stay.
        """

    def transaction(
        self, *, large: bool = False, invalidates_plans: bool = False
    ) -> AbstractContextManager[None]:
        """Make the calling thread's writes visible together, or not at all.

        Parameters
        ----------
        large
            Whether more may be written than fits in memory.
        invalidates_plans
            Whether queries that were planned before it may be wrong after it.
        """

    def snapshot(self) -> AbstractContextManager[int]:
        """Let the calling thread read at one commit meanwhile, and give its number."""

    def separate(self) -> Backend:
        """Give a connection whose writes are committed on their own, whatever this one does."""

    def tables(self) -> set[str]:
        """Return the names of the stored tables."""

    def columns(self, name: str) -> set[str]:
        """Return the names of the columns of a stored table; none where there is no such table."""

    def disconnect(self) -> None:
        """Close all connections."""


_ADAPTERS = {
    "duckdb": "barbule.backends.duckdb",
    "postgres": "barbule.backends.postgres",
    "postgresql": "barbule.backends.postgres",
}


def open_backend(url: str, lock_timeout: float = 60.0, home: Path | None = None) -> Backend:
    """Open the backend that a URL names.

    Parameters
    ----------
    lock_timeout
        How long to wait for another process that uses or writes the database, in seconds.
    home
        A folder that is made where the database lies in it; others have to be there.

    Raises
    ------
    ConfigurationError
        When no adapter is known for the scheme, or the database cannot be opened.
    """
    return _adapter(url).open_backend(url, lock_timeout, home)


def is_persistent(url: str) -> bool:
    """Whether the database that a URL names outlives its session.

    Raises
    ------
    ConfigurationError
        When no adapter is known for the scheme.
    """
    return _adapter(url).is_persistent(url)


def _adapter(url: str) -> Any:
    scheme = url.split(":", 1)[0]
    if scheme not in _ADAPTERS:
        raise ConfigurationError(
            f"there is no backend for {scheme!r}.",
            hint=f"Known are: {', '.join(sorted(_ADAPTERS))}; for example duckdb:///data/app.duckdb.",
        )
    return importlib.import_module(_ADAPTERS[scheme])


def type_mismatch(column: str, kind: Any, reason: Exception) -> DataError:
    """Say that results do not fit the type that their column has."""
    return DataError(
        f"a result does not fit {kind}: {str(reason).splitlines()[0]}.",
        column=column,
        hint="Cast what is computed with to a larger type: decimal(38, 0) for whole numbers, or "
        "float64.",
    )
