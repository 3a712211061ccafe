"""The DuckDB backend, and how a URL opens it.

The class is made of layers: `transactions`, `queries` and `writes`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import duckdb

from barbule.backends.duckdb.connections.address import check_path, read_address
from barbule.backends.duckdb.connections.shared_file import DuckDBFile
from barbule.backends.duckdb.errors import first_line
from barbule.backends.duckdb.sql.statements import quoted
from barbule.backends.duckdb.writes import DuckDBWrites
from barbule.errors import BarbuleError, ConfigurationError
from barbule.tracing import statement

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DuckDBBackend", "is_persistent", "open_backend"]

_TABLES = (
    "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() "
    "AND schema_name = current_schema() AND NOT temporary"
)
# The first read of duckdb_columns() binds all views of the system, which takes 9 ms.
_COLUMNS = "SELECT column_name FROM (DESCRIBE {})"


def open_backend(url: str, lock_timeout: float, home: Path | None = None) -> DuckDBBackend:
    """Open `duckdb:///path/to/file`, or `duckdb://` for a database in memory."""
    return DuckDBBackend.open(url, lock_timeout, home)


def is_persistent(url: str) -> bool:
    """Whether the database outlives its session: one in memory does not."""
    return read_address(url) is not None


class DuckDBBackend(DuckDBWrites):
    """A DuckDB database; each thread uses its own cursor."""

    name = "duckdb"
    many_writers = False
    has_infinite_floats = True

    @classmethod
    def open(cls, url: str, lock_timeout: float = 60.0, home: Path | None = None) -> Self:
        """Open `duckdb:///path/to/file`, or `duckdb://` for a database in memory.

        Parameters
        ----------
        lock_timeout
            Seconds to wait for another process that uses the database.
        home
            A folder that is created if the database is in it; other folders must exist.

        Raises
        ------
        ConfigurationError
            If the database cannot be opened.
        """
        path = read_address(url)
        if path is None:
            return cls(DuckDBFile.shared(None, lock_timeout))
        try:
            if home is not None and path.is_relative_to(home):
                path.parent.mkdir(parents=True, exist_ok=True)
            check_path(path)
            return cls(DuckDBFile.shared(path.resolve(), lock_timeout))
        except (OSError, duckdb.Error) as error:
            if isinstance(error, BarbuleError):
                raise
            raise ConfigurationError(
                f"the database {str(path)!r} cannot be opened: {first_line(error)}",
                hint="Check the path and its permissions.",
            ) from error

    def separate(self) -> Self:
        """Return a backend whose writes are committed independently of this one's."""
        return type(self)(self._database.share())

    def tables(self) -> set[str]:
        """Return the names of the stored tables."""
        # Not with Ibis' list_tables(), which uses a deprecated function of DuckDB.
        with self.use(), statement(_TABLES):
            return {name for (name,) in self.cursor.execute(_TABLES).fetchall()}

    def columns(self, name: str) -> set[str]:
        """Return the names of the columns of a stored table; none if there is no such table."""
        query = _COLUMNS.format(quoted(name))
        with self.use(), statement(query):
            try:
                rows = self.cursor.execute(query).fetchall()
            except duckdb.CatalogException:
                return set()
        return {column for (column,) in rows}

    def disconnect(self) -> None:
        """Close all connections; the last one closes the database."""
        self._local = threading.local()
        if not self._closed:
            self._closed = True
            self._database.leave()
