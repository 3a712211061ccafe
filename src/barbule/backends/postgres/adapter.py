"""The Postgres backend, and how a URL opens it.

The class is made of layers: `transactions`, `queries` and `writes`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from barbule.backends.postgres.connections.address import read_address
from barbule.backends.postgres.connections.pool import ConnectionPool
from barbule.backends.postgres.sql import statements as sql
from barbule.backends.postgres.writes import PostgresWrites

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PostgresBackend", "is_persistent", "open_backend"]

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_COLUMNS = (
    "SELECT column_name::text FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND table_name = "
)


def open_backend(
    url: str,
    lock_timeout: float,
    home: Path | None = None,
) -> PostgresBackend:
    """Open `postgres://user:password@host:port/database?schema=…&lock_timeout=…`."""
    return PostgresBackend.open(url, lock_timeout, home)


def is_persistent(url: str) -> bool:  # noqa: ARG001 - other databases need it to tell
    """Whether the database outlives its session: a server's always does."""
    return True


class PostgresBackend(PostgresWrites):
    """A Postgres database; each thread uses its own connection.

    Attributes
    ----------
    lacks
        Requirements of the backend contract that Postgres does not have.
    """

    name = "postgres"
    many_writers = True
    has_infinite_floats = False
    lacks = frozenset({"nul", "unnest-nested"})

    def __repr__(self) -> str:
        return f"<Postgres backend on {self._connections.address.display_url}>"

    @classmethod
    def open(
        cls,
        url: str,
        lock_timeout: float = 60.0,
        home: Path | None = None,  # noqa: ARG003 - for databases that are files
    ) -> Self:
        """Open `postgres://user:password@host:port/database?schema=…&lock_timeout=…`.

        Parameters
        ----------
        lock_timeout
            Seconds to wait for another process that writes, unless the URL states it.
        """
        return cls(ConnectionPool(read_address(url, lock_timeout)))

    def separate(self) -> Self:
        """Return a backend whose writes are committed independently of this one's."""
        return type(self)(self._connections)

    def tables(self) -> set[str]:
        """Return the names of the stored tables."""
        return {name for (name,) in self._read(lambda connection: connection.rows(_TABLES))}

    def columns(self, name: str) -> set[str]:
        """Return the names of the columns of a stored table; none if there is no such table."""
        query = _COLUMNS + sql.to_sql(sql.literal(name))
        return {column for (column,) in self._read(lambda connection: connection.rows(query))}

    def disconnect(self) -> None:
        """Close all connections."""
        self._local = threading.local()
        self._connections.close()
        with self._lock:
            for connection in self._psycopg.values():
                connection.close()
            self._psycopg.clear()
