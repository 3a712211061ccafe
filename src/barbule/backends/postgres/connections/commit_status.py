"""What became of a transaction whose COMMIT was not answered.

Owns the question to the server, which knows its transactions by number.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from barbule.errors import DataError, UnreachableError

if TYPE_CHECKING:
    from barbule.backends.postgres.connections.connection import Connections

__all__ = ["is_committed"]

_PATIENCE = 10.0  # seconds in which a server may start anew
_PAUSE = 0.1
# After so many seconds the process of the server is ended that does not know of its client's end.
_UNNOTICED = 1.0
_END = (
    "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity "
    "WHERE pid = {pid} AND backend_xid::text = '{short}'"
)
_SHORT = 1 << 32  # the number of a transaction as its process shows it


def is_committed(transaction: tuple[int, int] | None, connections: Connections) -> bool:
    """Say whether a transaction was committed, whatever became of its connection.

    Parameters
    ----------
    transaction
        Its number, and the process of the server that had it; None where it is not known.

    Raises
    ------
    UnreachableError
        When that cannot be learned.
    """
    started = time.monotonic()
    status = None
    while transaction is not None and time.monotonic() - started < _PATIENCE:
        try:
            status = _status(transaction, connections, time.monotonic() - started)
        except UnreachableError:  # it has not come back yet
            status = None
        if status in {"committed", "aborted"}:
            return status == "committed"
        time.sleep(_PAUSE)
    raise UnreachableError(
        f"the connection to {connections.address.shown} was lost while a change was committed, "
        "and whether it was made is not known.",
        hint="See that the server runs, and look what is there before the change is repeated: "
        "history() lists the versions of a table.",
    )


def _status(transaction: tuple[int, int], connections: Connections, waited: float) -> str | None:
    number, pid = transaction
    connection = connections.borrow()
    try:
        found: str | None = connection.rows(f"SELECT txid_status({number})")[0][0]
        if found == "in progress" and waited > _UNNOTICED:
            connection.rows(_END.format(pid=pid, short=number % _SHORT))
    except DataError:  # a server that has lost the end of its log knows no such number
        found = "aborted"
    finally:
        connections.give_back(connection)
    return found
