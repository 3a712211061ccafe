"""The status of a transaction whose COMMIT was not answered.

Owns the query to the server, which identifies its transactions by number.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from barbule.errors import DataError, UnreachableError

if TYPE_CHECKING:
    from barbule.backends.postgres.connections.pool import ConnectionPool

__all__ = ["is_committed"]

_RESTART_SECONDS = 10.0  # in which a server may restart
_RETRY_SECONDS = 0.1
# After which the server's process is terminated if it has not noticed that its client is
# disconnected.
_TERMINATE_SECONDS = 1.0
_TERMINATE = (
    "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity "
    "WHERE pid = {pid} AND backend_xid::text = '{xid}'"
)
_XID_RANGE = 1 << 32  # of the transaction numbers in pg_stat_activity


def is_committed(transaction: tuple[int, int] | None, connections: ConnectionPool) -> bool:
    """Whether a transaction was committed, after its connection was lost.

    Parameters
    ----------
    transaction
        Its number, and the pid of the server's process; None if they are unknown.

    Raises
    ------
    UnreachableError
        If it cannot be determined.
    """
    started = time.monotonic()
    status = None
    while transaction is not None and time.monotonic() - started < _RESTART_SECONDS:
        try:
            status = _status(transaction, connections, time.monotonic() - started)
        except UnreachableError:  # it has not restarted yet
            status = None
        if status in {"committed", "aborted"}:
            return status == "committed"
        time.sleep(_RETRY_SECONDS)
    raise UnreachableError(
        f"the connection to {connections.address.display_url} was lost during a commit; whether "
        "the change was committed is unknown.",
        hint="Check that the server runs. Before you repeat the change, check whether it was "
        "committed: history() lists the versions of a table.",
    )


def _status(transaction: tuple[int, int], connections: ConnectionPool, waited: float) -> str | None:
    number, pid = transaction
    connection = connections.acquire()
    try:
        status: str | None = connection.rows(f"SELECT txid_status({number})")[0][0]
        if status == "in progress" and waited > _TERMINATE_SECONDS:
            connection.rows(_TERMINATE.format(pid=pid, xid=number % _XID_RANGE))
    except DataError:  # a server that has lost the end of its log has no such number
        status = "aborted"
    finally:
        connections.release(connection)
    return status
