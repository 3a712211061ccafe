"""The write lock: one thread of one process at a time writes to a schema of a database.

It is an advisory lock, which the server releases when its holder disconnects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.errors import LockedError

if TYPE_CHECKING:
    from barbule.backends.postgres.connections.adbc import AdbcConnection
    from barbule.backends.postgres.connections.pool import ConnectionPool

__all__ = ["acquire", "release"]

# Each schema may be a separate database.
_LOCK_KEY = "hashtextextended('barbule ' || current_schema(), 0)"
_HOLDER = (
    "SELECT a.application_name, a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    f"AND ((l.classid::int8 << 32) | l.objid::int8) = {_LOCK_KEY}"
)


def acquire(connection: AdbcConnection, connections: ConnectionPool) -> None:
    """Wait for the lock and take it.

    Raises
    ------
    LockedError
        If another process holds it for longer than the lock timeout; the message contains its pid.
    """
    try:
        connection.rows(f"SELECT pg_advisory_lock({_LOCK_KEY})::text")
    except LockedError as error:
        raise _timeout_error(connections) from error


def release(connection: AdbcConnection) -> None:
    """Release the lock."""
    connection.rows(f"SELECT pg_advisory_unlock({_LOCK_KEY})::text")


def _timeout_error(connections: ConnectionPool) -> LockedError:
    # Not on the connection that waited: its transaction, if there is one, has failed.
    other = connections.acquire()
    try:
        holders = other.rows(_HOLDER)
    finally:
        connections.release(other)
    holder = ""
    if holders:
        name, server_pid = holders[0]
        is_barbule = name.startswith("barbule:")
        pid = name.removeprefix("barbule:") if is_barbule else f"{server_pid} of the server"
        holder = f" (pid {pid})"
    address = connections.address
    return LockedError(
        f"another process{holder} is writing to {address.display_url} and did not finish within "
        f"{address.lock_timeout:g} s.",
        hint="Wait until it has finished, or raise lock_timeout.",
    )
