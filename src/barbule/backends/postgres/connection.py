"""Connections to a Postgres database, through ADBC.

Owns how a statement is run, how rows go in and out as Arrow, and how the server's errors become
ours. Knows no tables.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import adbc_driver_manager
import adbc_driver_postgresql
import ibis.common.exceptions as com

from barbule.errors import (
    BarbuleError,
    ConfigurationError,
    DataError,
    LockedError,
    UnsupportedError,
)
from barbule.locks import check_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from barbule.backends.postgres.address import Address

__all__ = ["Connection", "Connections", "explained"]

_SIMPLE = {"adbc.postgresql.use_copy": "false"}  # half the way of COPY, for few rows
_BATCH_BYTES = {"adbc.postgresql.batch_size_hint_bytes": str(4 << 20)}
_STATE = re.compile(r"SQLSTATE: (\w{5})")
# What an expression asks that Postgres has not got: functions, casts, columns, tables and so on.
_WRONG = {"0A000", "42601", "42703", "42803", "42804", "42846", "42883", "42P01", "42P18", "42P20"}
_WRONG |= {"42P21"}
_ENDED = {"57P01", "57P02", "57P03"}
_CLOSED = "server closed the connection"
_REASON = re.compile(r"ERROR:\s+(.*)")


class Connection:
    """One connection; used by one thread at a time."""

    def __init__(self, database: Any) -> None:
        self._adbc = adbc_driver_manager.AdbcConnection(database)
        self._adbc.set_autocommit(True)

    @contextmanager
    def _statement(self, options: dict[str, str]) -> Iterator[Any]:
        statement = adbc_driver_manager.AdbcStatement(self._adbc)
        try:
            with explained():
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
        return Stream(self._adbc, sql, _SIMPLE if simple else _BATCH_BYTES)

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
    def lost(self) -> bool:
        """Whether the server is no longer there."""
        return self._status() == "unknown"

    def _status(self) -> str:
        key = adbc_driver_postgresql.ConnectionOptions.TRANSACTION_STATUS.value
        return self._adbc.get_option(key)

    def close(self) -> None:
        """Close the connection."""
        self._adbc.close()


class Stream:
    """The rows of a query, as they come; iterating gives record batches."""

    def __init__(self, adbc: Any, sql: str, options: dict[str, str]) -> None:
        from adbc_driver_manager._reader import AdbcRecordBatchReader

        self._statement = adbc_driver_manager.AdbcStatement(adbc)
        self._closed = False
        try:
            with explained():
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
                with explained():
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
            with explained():
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
                f"the database {self.address.shown} cannot be opened: {_reason(str(error))}",
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
            if self._closed:
                raise ConfigurationError(
                    "the session is closed.",
                    hint="Open one by bb.connect(...), and get its tables by bb.get_table(...).",
                )
            self._collect()
            connection = self._idle.pop() if self._idle else None
            if connection is None:
                try:
                    connection = Connection(self._database)
                except adbc_driver_manager.Error as error:
                    raise ConfigurationError(
                        f"{self.address.shown} accepts no connection: {_reason(str(error))}",
                        hint="Look at the server; it may have too many connections.",
                    ) from None
            self._lent.append(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """Take back what was borrowed, for the next."""
        with self._lock:
            if connection in self._lent:  # else all were closed meanwhile
                self._lent.remove(connection)
                self._keep(connection)

    def forget(self, connection: Connection) -> None:
        """Close a connection that its thread cannot use any more."""
        with self._lock:
            for owned in self._owned.values():
                if connection in owned:
                    owned.remove(connection)
            connection.close()

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
        if connection.lost or connection.in_transaction:
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


def no_nul() -> DataError:
    """Make the error about a text that Postgres cannot keep."""
    return DataError(
        "Postgres cannot keep a text with the character NUL (\\x00).",
        hint="Remove it, or use a Binary column.",
    )


def _reason(text: str) -> str:
    """Return what the server says, without the statement."""
    found = _REASON.search(text)
    plain = found[1] if found else text.split("FATAL:", 1)[-1].split("[libpq]", 1)[-1]
    return plain.strip().splitlines()[0].strip()


@contextmanager
def explained() -> Iterator[None]:
    """Say in our words what an expression asked that the database cannot do."""
    import pyarrow as pa

    try:
        yield
    except (
        com.OperationNotDefinedError,
        com.UnsupportedOperationError,
        com.IbisTypeError,
    ) as error:
        raise _unsupported(str(error)) from error
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        state = getattr(error, "sqlstate", None) or ""
        if not state and (found := _STATE.search(str(error))):
            state = found[1]
        if state[:2] == "08" or state in _ENDED or _CLOSED in str(error):
            raise _lost() from error
        if (known := _known(state, _reason(str(error)))) is not None:
            raise known from error
        raise


def _lost() -> ConfigurationError:
    error = ConfigurationError(
        "the connection to the Postgres server is lost, and with it what was not committed.",
        hint="See that the server runs; the next use connects again.",
    )
    error.retryable = True
    return error


def _unsupported(reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"Postgres cannot run this expression: {reason}.",
        hint="Rewrite that part, or compute it in a @bb.udf.",
    )


def _known(state: str, reason: str) -> BarbuleError | None:
    """Make our error of an SQLSTATE (https://www.postgresql.org/docs/15/errcodes-appendix.html)."""
    if state in {"22021", "22P05"}:
        return no_nul()
    if state[:2] in {"21", "22", "23"}:
        return DataError(
            f"the database cannot compute this: {reason}.",
            hint="Filter out such values first.",
        )
    if state in {
        "0A000",
        "42804",
        "42846",
        "42883",
        "42P18",
        "42P20",
        "42P21",
        "42803",
        "42601",
        "42703",
        "42P01",
    }:
        return _unsupported(reason)
    if state[:2] == "54":
        return UnsupportedError(
            f"this is too large for Postgres: {reason}.",
            hint="Use fewer or smaller columns, in several tables.",
        )
    if state in {"55P03", "40P01"}:
        return LockedError(
            f"another process keeps what this needs: {reason}.",
            hint="Wait until its work is done, or raise lock_timeout.",
        )
    return None
