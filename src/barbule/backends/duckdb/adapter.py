"""The DuckDB backend, and how a URL opens it.

The class is made of three parts, one per protocol: `connection`, `reader` and `row_store`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import duckdb

from barbule.backends.duckdb.connection import DuckDBConnection
from barbule.backends.duckdb.connections.address import check_path, read_address
from barbule.backends.duckdb.connections.shared_file import DuckDBFile
from barbule.backends.duckdb.errors import first_line
from barbule.backends.duckdb.reader import DuckDBReader
from barbule.backends.duckdb.row_store import DuckDBRowStore
from barbule.errors import BarbuleError, ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DuckDBBackend", "is_persistent", "open_backend"]


def open_backend(url: str, lock_timeout: float, home: Path | None = None) -> DuckDBBackend:
    """Open `duckdb:///path/to/file`, or `duckdb://` for a database in memory."""
    return DuckDBBackend.open(url, lock_timeout, home)


def is_persistent(url: str) -> bool:
    """Whether the database outlives its session: one in memory does not."""
    return read_address(url) is not None


class DuckDBBackend(DuckDBConnection, DuckDBReader, DuckDBRowStore):
    """A DuckDB database; each thread uses its own cursor.

    Each part is given the parts that it needs: here the adapter itself, so that they use what a
    derived class overrides.
    """

    def __init__(self, database: DuckDBFile) -> None:
        DuckDBConnection.__init__(self, database)
        DuckDBReader.__init__(self, connection=self)
        DuckDBRowStore.__init__(self, connection=self, reader=self)

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
