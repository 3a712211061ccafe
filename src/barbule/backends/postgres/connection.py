"""The connection to Postgres: connections of threads, the write lock, snapshots and commits."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

import adbc_driver_manager

from barbule.backends.postgres.connections import write_lock
from barbule.backends.postgres.connections.commit_status import is_committed
from barbule.backends.postgres.errors import lost_connection
from barbule.errors import BarbuleError, DataError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import psycopg

    from barbule.backends.postgres.connections.adbc import AdbcConnection
    from barbule.backends.postgres.connections.pool import ConnectionPool

__all__ = ["PostgresConnection"]

_COMMITS = "bb_commits"
_HEAD = f"SELECT max(id) FROM {_COMMITS}"
_BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"
Result = TypeVar("Result")


class PostgresConnection:
    """The use of one Postgres database by threads, each on its own connection."""

    name = "postgres"
    many_writers = True

    def __init__(self, connections: ConnectionPool) -> None:
        self._connections = connections
        self._local = threading.local()
        self._has_commits = False
        self._psycopg: dict[threading.Thread, psycopg.Connection[Any]] = {}
        self._lock = threading.Lock()  # of the above

    def separate(self) -> Self:
        """Return one whose writes are committed independently of this one's."""
        return type(self)(self._connections)

    def disconnect(self) -> None:
        """Close all connections."""
        self._local = threading.local()
        self._connections.close()
        with self._lock:
            for connection in self._psycopg.values():
                connection.close()
            self._psycopg.clear()

    def use(self) -> AbstractContextManager[None]:
        """Do nothing: any number of processes can have the database open."""
        return nullcontext()

    def stamp(self) -> object:
        """Return the latest commit of any process; None in an empty database."""
        return self.read(self._latest_commit)

    def _latest_commit(self, connection: AdbcConnection) -> int | None:
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
        if not self.thread_connection.writers:
            self.read(lambda connection: write_lock.acquire(connection, self._connections))
        connection = self.thread_connection
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
    def thread_connection(self) -> AdbcConnection:
        """The calling thread's connection."""
        self._connections.check_process()
        connection: AdbcConnection | None = getattr(self._local, "connection", None)
        if connection is not None and connection.lost:
            if connection.in_use:  # the write lock, or half of a transaction, is lost
                raise lost_connection(self._connections.address.display_url)
            self._local.connection = None
            self._connections.discard(connection)
            connection = None
        if connection is None:
            connection = self._local.connection = self._connections.acquire_for_thread()
        return connection

    def read(self, read: Callable[[AdbcConnection], Result]) -> Result:
        """Read on the calling thread's connection; retry on a new one if that is lost.

        The first use of an idle connection detects that the server has restarted; it changes
        nothing.
        """
        connection = self.thread_connection
        try:
            return read(connection)
        except UnreachableError:
            if connection.in_use:
                raise
        return read(self.thread_connection)

    @contextmanager
    def separate_connection(self) -> Iterator[AdbcConnection]:
        """Acquire a connection, for use in this context, that nothing else uses."""
        connection = self._connections.acquire()
        try:
            yield connection
        finally:
            self._connections.release(connection)

    def psycopg(self) -> psycopg.Connection[Any]:
        """Return the calling thread's connection for methods that only Ibis has."""
        from barbule.backends.postgres.connections.psycopg import connect, is_alive

        thread = threading.current_thread()
        with self._lock:
            for ended in [thread for thread in self._psycopg if not thread.is_alive()]:
                self._psycopg.pop(ended).close()
            connection = self._psycopg.get(thread)
        if connection is None or not is_alive(connection):
            connection = connect(self._connections.address)
            with self._lock:
                self._psycopg[thread] = connection
        return connection

    # Transactions

    @property
    def in_transaction(self) -> bool:
        """Whether the calling thread is in a transaction or a snapshot."""
        connection: AdbcConnection | None = getattr(self._local, "connection", None)
        return connection is not None and connection.depth > 0

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
    def _transaction(self, begin: str = "BEGIN") -> Iterator[AdbcConnection]:
        """Open a transaction, or join the open one."""
        if (connection := self.thread_connection).depth:
            yield connection
            return
        self.read(lambda connection: connection.run(begin))
        connection = self.thread_connection
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

    def _commit(self, connection: AdbcConnection, *, read_only: bool) -> None:
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
