"""Connections to a Postgres database, through ADBC.

Owns how a statement is run, how rows go in and out as Arrow, and which connection a thread has.
Knows no tables.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import adbc_driver_manager
import adbc_driver_postgresql

from barbule.backends.postgres.errors import explained, no_nul, reason_of
from barbule.errors import BarbuleError, ConfigurationError, UnreachableError
from barbule.locks import check_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from barbule.backends.postgres.connections.address import Address

__all__ = ["Connection", "Connections"]

_SIMPLE = {"adbc.postgresql.use_copy": "false"}  # half the way of COPY, for few rows
_BATCH_BYTES = {"adbc.postgresql.batch_size_hint_bytes": str(4 << 20)}


class Connection:
    """One connection; used by one thread at a time.

    Attributes
    ----------
    depth
        How many blocks are open within which all is one transaction.
    writers
        How many blocks are open within which the thread has the right to write.
    transaction
        The number of the open transaction and the process of the server that has it, once rows
        have been inserted by `insert`.
    """

    def __init__(self, database: Any, shown: str) -> None:
        self._shown = shown
        self._adbc = adbc_driver_manager.AdbcConnection(database)
        self._adbc.set_autocommit(True)
        self._lost = False
        self.depth = self.writers = 0
        self.transaction: tuple[int, int] | None = None

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say in our words what fails, and note that the server has gone."""
        try:
            with explained(self._shown, lambda: self.lost):
                yield
        except UnreachableError:
            self._lost = True
            raise

    @contextmanager
    def _statement(self, options: dict[str, str]) -> Iterator[Any]:
        with self.explained():
            statement = adbc_driver_manager.AdbcStatement(self._adbc)
        try:
            with self.explained():
                if options:
                    statement.set_options(**options)
                yield statement
        finally:
            statement.close()

    def run(self, sql: str) -> int:
        """Run a statement that gives no rows; return how many it touched."""
        with self._statement({}) as statement:
            statement.set_sql_query(_checked(sql))
            return statement.execute_update()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query of few rows."""
        table = self.stream(sql, simple=True).read_all()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def stream(self, sql: str, *, simple: bool = False) -> Stream:
        """Run a query; its rows come while they are read."""
        return Stream(self, self._adbc, sql, _SIMPLE if simple else _BATCH_BYTES)

    def insert(self, sql: str) -> None:
        """Run an INSERT, and learn the number of the transaction that it is a part of."""
        if not self.depth or self.transaction is not None:
            self.run(sql)
            return
        rows = self.rows(f"{sql} RETURNING txid_current(), pg_backend_pid()")
        self.transaction = rows[0] if rows else None

    def copy(self, table: str, rows: pa.Table, *, temporary: bool = False) -> None:
        """Append rows in Postgres' binary COPY format; their types fit the table's."""
        options = {
            "adbc.ingest.target_table": table,
            "adbc.ingest.mode": "adbc.ingest.mode.append",
        }
        if temporary:
            options["adbc.ingest.target_db_schema"] = "pg_temp"
        with self._statement(options) as statement:
            statement.bind_stream(rows.to_reader())
            statement.execute_update()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._status() in {"active", "intrans", "inerror"}

    @property
    def failed(self) -> bool:
        """Whether a statement of the open transaction has failed."""
        return self._status() == "inerror"

    @property
    def used(self) -> bool:
        """Whether something is under way for which another connection could not stand in."""
        return self.depth > 0 or self.writers > 0

    @property
    def lost(self) -> bool:
        """Whether the server is no longer there."""
        return self._lost or self._status() == "unknown"

    def _status(self) -> str:
        key = adbc_driver_postgresql.ConnectionOptions.TRANSACTION_STATUS.value
        try:
            return self._adbc.get_option(key)
        except adbc_driver_manager.ProgrammingError:  # it has been closed
            return "unknown"

    def close(self) -> None:
        """Close the connection."""
        self._adbc.close()


class Stream:
    """The rows of a query, as they come; iterating gives record batches."""

    def __init__(
        self, connection: Connection, adbc: Any, sql: str, options: dict[str, str]
    ) -> None:
        from adbc_driver_manager._reader import AdbcRecordBatchReader

        self._explained = connection.explained
        self._closed = False
        with self._explained():
            self._statement = adbc_driver_manager.AdbcStatement(adbc)
        try:
            with self._explained():
                self._statement.set_options(**options)
                self._statement.set_sql_query(_checked(sql))
                handle, _ = self._statement.execute_query()
            # pyarrow's own reader would give an error in the middle without its SQLSTATE.
            self._reader = AdbcRecordBatchReader._import_from_c(handle.address)
        except BaseException:
            self._statement.close()
            raise

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            while True:
                with self._explained():
                    try:
                        batch = self._reader.read_next_batch()
                    except StopIteration:
                        return
                yield batch
        finally:
            self.close()

    def read_all(self) -> pa.Table:
        """Return all rows."""
        try:
            with self._explained():
                return self._reader.read_all()
        finally:
            self.close()

    def close(self) -> None:
        """End the query, read or not; doing it twice is fine."""
        if not self._closed:
            self._closed = True
            self._reader.close()
            self._statement.close()


class Connections:
    """The connections of one database; a thread keeps one for as long as it lives."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._owned: dict[threading.Thread, list[Connection]] = {}
        self._lent: list[Connection] = []
        self._closed = False
        self._opened_by = os.getpid()
        self._database = self._open()
        _all.add(self)

    def _open(self) -> Any:
        try:
            return adbc_driver_postgresql.connect(self.address.conninfo)
        except adbc_driver_manager.Error as error:
            raise ConfigurationError(
                f"the database {self.address.shown} cannot be opened: {reason_of(str(error))}",
                hint="Check that the server runs, and the user, password and database of the URL.",
            ) from None

    def own(self) -> Connection:
        """Give the calling thread a connection that it keeps."""
        connection = self.borrow()
        with self._lock:
            self._lent.remove(connection)
            self._owned.setdefault(threading.current_thread(), []).append(connection)
        return connection

    def check_process(self) -> None:
        """Refuse to be used in a forked child: both processes would speak on one line."""
        check_process(self._opened_by)

    def borrow(self) -> Connection:
        """Give a connection until it is given back."""
        self.check_process()
        with self._lock:
            self._check_open()
            self._collect()
            connection = self._idle.pop() if self._idle else None
            if connection is not None:
                self._lent.append(connection)
                return connection
        # Others need not wait until a server that has gone does not answer.
        connection = self._connect()
        with self._lock:
            self._check_open()
            self._lent.append(connection)
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigurationError(
                "the session is closed.",
                hint="Open one by bb.connect(...), and get its tables by bb.get_table(...).",
            )

    def _connect(self) -> Connection:
        try:
            return Connection(self._database, self.address.shown)
        except adbc_driver_manager.Error as error:
            raise UnreachableError(
                f"{self.address.shown} accepts no connection: {reason_of(str(error))}.",
                hint="See that the server runs, and that it has not too many connections.",
            ) from None

    def give_back(self, connection: Connection) -> None:
        """Take back what was borrowed, for the next."""
        with self._lock:
            if connection in self._lent:  # else all were closed meanwhile
                self._lent.remove(connection)
                self._keep(connection)

    def forget(self, connection: Connection) -> None:
        """Close a connection that its thread has lost."""
        with self._lock:
            for owned in self._owned.values():
                if connection in owned:
                    owned.remove(connection)
            self._keep(connection)

    def _collect(self) -> None:
        """Take the connections of threads that have ended."""
        for thread in [thread for thread in self._owned if not thread.is_alive()]:
            for connection in self._owned.pop(thread):
                with suppress(BarbuleError, adbc_driver_manager.Error):
                    if connection.in_transaction:
                        connection.run("ROLLBACK")
                    connection.run("SELECT pg_advisory_unlock_all()")
                self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        if connection.lost:
            # Where one has lost the server, those have that nobody has used since.
            for each in (connection, *self._idle):
                each.close()
            self._idle.clear()
        elif connection.in_transaction:
            connection.close()
        else:
            self._idle.append(connection)

    def close(self) -> None:
        """Close all connections."""
        if self._opened_by != os.getpid():
            return  # its parent closes them
        with self._lock:
            if self._closed:
                return
            self._closed = True
            owned = [connection for each in self._owned.values() for connection in each]
            for connection in (*self._idle, *owned, *self._lent):
                # One with an unread stream is closed with the stream, at the latest.
                with suppress(RuntimeError):
                    connection.close()
            self._idle, self._lent = [], []
            self._owned.clear()
            with suppress(RuntimeError):
                self._database.close()


_all: weakref.WeakSet[Connections] = weakref.WeakSet()


def _keep_in_child() -> None:
    """Keep in a forked child what its parent has open: to close it would end it there."""
    for connections in _all:
        owned = [each for mine in connections._owned.values() for each in mine]
        for connection in (*connections._idle, *owned, *connections._lent):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_in_child)


def _checked(sql: str) -> str:
    """Refuse what would be cut short on its way to the server."""
    if "\0" in sql:
        raise no_nul()
    return sql
