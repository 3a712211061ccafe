"""Connections of psycopg, for methods that only Ibis' own backend has.

Owns the error of a lost connection, and the check whether a connection is still alive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from barbule.backends.postgres.errors import lost_connection
from barbule.errors import UnreachableError

if TYPE_CHECKING:
    from barbule.backends.postgres.connections.address import Address

__all__ = ["connect", "is_alive"]


def connect(address: Address) -> psycopg.Connection[Any]:
    """Open a connection whose statements are committed one by one."""

    class Cursor(psycopg.Cursor[Any]):
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().execute(*args, **kwargs)
            except psycopg.OperationalError as error:
                if not self.connection.closed:
                    raise
                raise lost_connection(address.display_url) from error

    try:
        return psycopg.connect(address.conninfo, autocommit=True, cursor_factory=Cursor)
    except psycopg.Error as error:
        reason = str(error).splitlines()[0]
        raise UnreachableError(
            f"{address.display_url} accepts no connection: {reason}.",
            hint="Check that the server runs and has free connections.",
        ) from None


def is_alive(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server of an idle connection still answers."""
    if connection.closed:
        return False
    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
        return True
    try:
        connection.execute("")
    except (UnreachableError, psycopg.OperationalError):
        return False
    return True
