"""Transactions on Postgres: connections of threads, the write lock, snapshots and commits."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, TypeVar

import adbc_driver_manager

from barbule.backends.postgres.connections import write_lock
from barbule.backends.postgres.connections.commit_status import is_committed
from barbule.backends.postgres.errors import lost_connection
from barbule.errors import BarbuleError, DataError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from barbule.backends.postgres.connections.connection import Connection
    from barbule.backends.postgres.connections.pool import ConnectionPool

__all__ = ["PostgresTransactions"]

_COMMITS = "bb_commits"
_HEAD = f"SELECT max(id) FROM {_COMMITS}"
_BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"
Result = TypeVar("Result")


class PostgresTransactions:
    """The use of one Postgres database by threads, each on its own connection."""

    def __init__(self, connections: ConnectionPool) -> None:
        self._connections = connections
        self._local = threading.local()
        self._has_commits = False

    def use(self) -> AbstractContextManager[None]:
        """Do nothing: any number of processes can have the database open."""
        return nullcontext()

    def stamp(self) -> object:
        """Return the latest commit of any process; None in an empty database."""
        return self._read(self._latest_commit)

    def _latest_commit(self, connection: Connection) -> int | None:
        if not self._has_commits:
            ((table,),) = connection.rows(f"SELECT to_regclass('{_COMMITS}')::text")
            if table is None:
                return None
            self._has_commits = True
        latest: int | None = connection.rows(_HEAD)[0][0]
        return latest

    def plan_epoch(self) -> object:
        """Return None: plans check the lifetime of each row, and never become invalid."""
        return None

    def check_writable(self) -> None:
        """Do nothing: the server reports errors."""

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the write lock: no other thread or process writes in this context."""
        if not self._connection.writers:
            self._read(lambda connection: write_lock.acquire(connection, self._connections))
        connection = self._connection
        connection.writers += 1
        try:
            yield
        finally:
            connection.writers -= 1
            if not connection.writers and not connection.lost:
                # The server releases the lock of a lost connection.
                with suppress(UnreachableError):
                    write_lock.release(connection)

    # Connections

    @property
    def _connection(self) -> Connection:
        """The calling thread's connection."""
        self._connections.check_process()
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None and connection.lost:
            if connection.in_use:  # the write lock, or half of a transaction, is lost
                raise lost_connection(self._connections.address.display_url)
            self._local.connection = None
            self._connections.discard(connection)
            connection = None
        if connection is None:
            connection = self._local.connection = self._connections.acquire_for_thread()
        return connection

    def _read(self, read: Callable[[Connection], Result]) -> Result:
        """Read on the calling thread's connection; retry on a new one if that is lost.

        The first use of an idle connection detects that the server has restarted; it changes
        nothing.
        """
        connection = self._connection
        try:
            return read(connection)
        except UnreachableError:
            if connection.in_use:
                raise
        return read(self._connection)

    @property
    def _in_transaction(self) -> bool:
        connection: Connection | None = getattr(self._local, "connection", None)
        return connection is not None and connection.depth > 0

    # Transactions

    @contextmanager
    def snapshot(self) -> Iterator[int]:
        """Let the calling thread read at one commit in this context; return the commit."""
        with self._transaction(_BEGIN_SNAPSHOT) as connection:
            ((head,),) = connection.rows(_HEAD)
            yield head or 0

    @contextmanager
    def transaction(
        self, *, large: bool = False, invalidates_plans: bool = False
    ) -> Iterator[None]:
        """Commit the calling thread's writes atomically."""
        with self._transaction():
            yield

    @contextmanager
    def _transaction(self, begin: str = "BEGIN") -> Iterator[Connection]:
        """Open a transaction, or join the open one."""
        if (connection := self._connection).depth:
            yield connection
            return
        self._read(lambda connection: connection.run(begin))
        connection = self._connection
        connection.depth, connection.transaction = 1, None
        try:
            yield connection
            self._commit(connection, read_only=begin == _BEGIN_SNAPSHOT)
        except BaseException:
            if not connection.lost:
                with suppress(BarbuleError, adbc_driver_manager.Error):
                    connection.run("ROLLBACK")
            raise
        finally:
            connection.depth = 0

    def _commit(self, connection: Connection, *, read_only: bool) -> None:
        if connection.failed:  # COMMIT would roll back silently
            raise DataError(
                "a statement of this transaction failed, so the transaction was rolled back.",
                hint="See the error before this one.",
            )
        try:
            connection.run("COMMIT")
        except UnreachableError:
            # A transaction that has only read has nothing to lose.
            if not read_only and not is_committed(connection.transaction, self._connections):
                raise
