"""The protocol of backends, and how a URL opens one.

An adapter stores rows and columns of plain types; it knows no versions, functions or media.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from barbule.errors import ConfigurationError, DataError
from barbule.extensions import BACKENDS, extension, extension_names

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
    "Staged",
    "is_persistent",
    "open_backend",
    "type_mismatch",
]

# The columns of all tables of rows: the identity, and the commits between which a row lives; in a
# view also the identity of the row of its base.
RID = "_rid"
FROM = "_from"
TO = "_to"
BASE = "_base"
FOREVER = 2**63 - 1  # `_to` of a live row: a number compares 2-4 times faster than NULL

Staged = Mapping[str, "pa.Table"]


class Backend(Protocol):
    """A database, reached through Ibis, that stores rows of plain types.

    Each thread has a connection of its own. `staged` are Arrow tables, by name, that a query reads
    in addition to the stored ones.
    """

    name: str
    many_writers: bool  # whether other processes may commit while this one reads
    has_infinite_floats: bool  # whether floats that overflow are infinite, instead of an error

    @property
    def ibis(self) -> BaseBackend:
        """The Ibis backend, the same one for all threads."""

    # Sharing with other threads and processes

    def use(self) -> AbstractContextManager[None]:
        """Have the database open in this context; contexts may be nested.

        A database that one process opens at a time is handed to another that waits for it when
        nobody in this process uses it.

        Raises
        ------
        LockedError
            When another process has it for too long; the message names its pid.
        """

    def check_writable(self) -> None:
        """Check, cheaply, that the database can be written, as far as it is known.

        Raises
        ------
        ConfigurationError
            When the database can only be read.
        DiskError
            When its file no longer exists.
        """

    def write_lock(self) -> AbstractContextManager[None]:
        """Be the only thread of all processes that changes rows and metadata in this context.

        A thread that has the lock may take it again.

        Raises
        ------
        LockedError
            When another process has it for too long; the message names its pid.
        """

    def stamp(self) -> object:
        """Return a value, cheaply, that differs once another process or session has committed."""

    def plan_epoch(self) -> object:
        """Return a value that differs once queries that were planned before may be wrong.

        Where a transaction is about to make them wrong, its end is awaited.
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
        """Let the calling thread read at one commit in this context; return the commit."""

    def separate(self) -> Backend:
        """Return a backend whose writes are committed independently of this one's."""

    def disconnect(self) -> None:
        """Close all connections."""

    # Queries

    def table(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Make the leaf of a stored or staged table."""

    def tables(self) -> set[str]:
        """Return the names of the stored tables."""

    def columns(self, name: str) -> set[str]:
        """Return the names of the columns of a stored table; none where there is no such table."""

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
            The identities of the rows of which a state has ended; and identity and column of
            the states that began and live at the later commit, those without a value left out.
        """

    def rows_with_values(self, rows: ir.Table, column: str, values: Sequence[str]) -> pa.Table:
        """Return the rows in which a column of strings has one of these values.

        Parameters
        ----------
        rows
            A stored table, or some of its columns.
        values
            A few: they are written into the query.
        """

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Make the value of the similarity of two vectors; larger is nearer."""

    def first_unstorable(self, values: pa.Array, dtype: dt.DataType) -> int | None:
        """Return the index of the first value that the database cannot store, if there is one."""

    # Tables and columns

    def create_table(self, name: str, schema: sch.Schema) -> None:
        """Create a table; one of the same name that a crash left is replaced."""

    def drop_table(self, name: str) -> None:
        """Drop a table, if it exists."""

    def add_column(self, name: str, column: str, dtype: dt.DataType) -> None:
        """Add an empty column; one of the same name that a crash left is replaced."""

    def add_columns(
        self, name: str, dtypes: Mapping[str, dt.DataType], values: Mapping[str, pa.Table]
    ) -> None:
        """Add columns as `add_column` does, and set some of them as `fill_column` does."""

    def drop_column(self, name: str, column: str) -> None:
        """Drop a column, if it exists."""

    # New rows

    def append(self, name: str, rows: pa.Table) -> None:
        """Append rows, matched by column name; other columns are empty."""

    def append_query(self, name: str, query: ir.Table, staged: Staged) -> int:
        """Append the rows of a query, matched by column name; return how many."""

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert a few rows of plain values, all with the same columns."""

    # The life of rows

    def end_rows(self, name: str, rids: Sequence[int] | pa.Array, commit: int) -> None:
        """End the life of the live rows with these identities at a commit."""

    def end_query_rows(self, name: str, query: ir.Table, commit: int, staged: Staged) -> int:
        """End the life of the live rows whose identities a query returns; return how many."""

    def replace_rows(
        self, name: str, query: ir.Table, commit: int, unchanged: Sequence[str] = ()
    ) -> int:
        """Append new states of live rows, and end their old ones.

        Parameters
        ----------
        query
            Reads live rows of the table; returns their identities and new values of columns.
        commit
            The commit that is being made, at which the new states begin.
        unchanged
            The columns whose values stay the same; others are empty.

        Returns
        -------
        int
            How many rows have a new state.
        """

    def purge_rows(self, name: str, before: int, retained: Sequence[int]) -> int:
        """Delete the rows that ended by a commit; return how many.

        Parameters
        ----------
        retained
            Commits: rows that lived at one of them stay.
        """

    # Values of existing rows

    def fill_column(self, name: str, column: str, rows: pa.Table) -> None:
        """Set a column of live rows; `rows` has the identities and, as `column`, the values."""

    def fill_columns(self, name: str, query: ir.Table) -> int:
        """Set columns of live rows to the values of a query of them; return how many rows.

        Parameters
        ----------
        query
            Reads live rows of the table; returns their identities and, by their names, values of
            columns. Each value is computed from its own row.
        """

    def delete_rows(self, name: str, predicate: Mapping[str, Any]) -> None:
        """Delete the rows whose columns have these values."""

    def delete_with_values(
        self, name: str, column: str, values: Sequence[str] | Sequence[int]
    ) -> None:
        """Delete the rows in which a column of strings or integers has one of these values."""


@runtime_checkable
class Adapter(Protocol):
    """What opens the databases of a URL scheme: a module, or an object, with two functions.

    A package declares it as an entry point of `barbule.backends`, by the name of the scheme.
    """

    def open_backend(self, url: str, lock_timeout: float, home: Path | None = None) -> Backend:
        """Open the database that a URL names."""

    def is_persistent(self, url: str) -> bool:
        """Whether the database that a URL names outlives its session."""


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
        A folder that is made if the database is in it; other folders have to exist.

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


def _adapter(url: str) -> Adapter:
    scheme = url.split(":", 1)[0]
    if scheme in _ADAPTERS:
        adapter: Adapter = importlib.import_module(_ADAPTERS[scheme])
        return adapter
    installed = extension(BACKENDS, scheme)
    if installed is None:
        schemes = sorted({*_ADAPTERS, *extension_names(BACKENDS)})
        raise ConfigurationError(
            f"there is no backend for {scheme!r}.",
            hint=f"Supported schemes: {', '.join(schemes)}; for example duckdb:///data/app.duckdb.",
        )
    if not isinstance(installed, Adapter):
        raise ConfigurationError(
            f"the extension {scheme!r} of {BACKENDS!r} does not have the functions open_backend "
            "and is_persistent.",
            hint="Its entry point must name a module or an object that has both; see "
            "docs/extending.md.",
        )
    return installed


def type_mismatch(column: str, dtype: pa.DataType, reason: Exception) -> DataError:
    """Make the error about a result that does not fit the type of its column."""
    return DataError(
        f"a result does not fit {dtype}: {str(reason).splitlines()[0]}.",
        column=column,
        hint="Cast the operands to a larger type: decimal(38, 0) for whole numbers, or float64.",
    )
