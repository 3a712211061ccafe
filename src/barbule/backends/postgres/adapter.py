"""The Postgres backend, and how a URL opens it.

The class is made of three parts, one per protocol: `connection`, `reader` and `row_store`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from barbule.backends.postgres.connection import PostgresConnection
from barbule.backends.postgres.connections.address import read_address
from barbule.backends.postgres.connections.pool import ConnectionPool
from barbule.backends.postgres.reader import PostgresReader
from barbule.backends.postgres.row_store import PostgresRowStore

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PostgresBackend", "is_persistent", "open_backend"]


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


class PostgresBackend(PostgresConnection, PostgresReader, PostgresRowStore):
    """A Postgres database; each thread uses its own connection.

    Each part is given the parts that it needs: here the adapter itself, so that they use what a
    derived class overrides.

    Attributes
    ----------
    lacks
        Requirements of the backend contract that Postgres does not have.
    """

    lacks = frozenset({"nul", "unnest-nested"})

    def __init__(self, connections: ConnectionPool) -> None:
        PostgresConnection.__init__(self, connections)
        PostgresReader.__init__(self, connection=self)
        PostgresRowStore.__init__(self, connection=self, reader=self)

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
