"""The right to write: one thread of one process at a time, for each schema of a database.

Owns the advisory lock that stands for it; the server releases it when its holder is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.errors import LockedError

if TYPE_CHECKING:
    from barbule.backends.postgres.connections.connection import Connection, Connections

__all__ = ["give_up", "take"]

# Each schema may hold a database of ours.
_RIGHT = "hashtextextended('barbule ' || current_schema(), 0)"
_HOLDER = (
    "SELECT a.application_name, a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    f"AND ((l.classid::int8 << 32) | l.objid::int8) = {_RIGHT}"
)


def take(connection: Connection, connections: Connections) -> None:
    """Wait for the right and take it.

    Raises
    ------
    LockedError
        When another keeps it for longer than the lock timeout; it is named.
    """
    try:
        connection.rows(f"SELECT pg_advisory_lock({_RIGHT})::text")
    except LockedError as error:
        raise _over_time(connections) from error


def give_up(connection: Connection) -> None:
    """Let the next one write."""
    connection.rows(f"SELECT pg_advisory_unlock({_RIGHT})::text")


def _over_time(connections: Connections) -> LockedError:
    # Not on the connection that waited: its transaction, if there is one, has failed.
    other = connections.borrow()
    try:
        found = other.rows(_HOLDER)
    finally:
        connections.give_back(other)
    holder = ""
    if found:
        name, server_pid = found[0]
        ours = name.startswith("barbule:")
        pid = name.removeprefix("barbule:") if ours else f"{server_pid} of the server"
        holder = f" (pid {pid})"
    address = connections.address
    return LockedError(
        f"another one writes to {address.shown}{holder}, and did not finish in "
        f"{address.lock_timeout:g} s.",
        hint="Wait until its work is done, or raise lock_timeout.",
    )
