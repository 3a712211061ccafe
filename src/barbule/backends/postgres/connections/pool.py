"""The connections of one Postgres database, and their assignment to threads."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

import adbc_driver_manager
import adbc_driver_postgresql

from barbule.backends.postgres.connections.adbc import AdbcConnection
from barbule.backends.postgres.errors import server_message
from barbule.errors import BarbuleError, ConfigurationError, UnreachableError
from barbule.locks import check_process

if TYPE_CHECKING:
    from barbule.backends.postgres.connections.address import Address

__all__ = ["ConnectionPool"]


class ConnectionPool:
    """The connections of one database; a thread keeps one as long as it lives."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._idle: list[AdbcConnection] = []
        self._owned: dict[threading.Thread, list[AdbcConnection]] = {}
        self._acquired: list[AdbcConnection] = []
        self._closed = False
        self._opened_by = os.getpid()
        self._database = self._open()
        _instances.add(self)

    def _open(self) -> adbc_driver_manager.AdbcDatabase:
        try:
            return adbc_driver_postgresql.connect(self.address.conninfo)
        except adbc_driver_manager.Error as error:
            raise ConfigurationError(
                f"the database {self.address.display_url} cannot be opened: "
                f"{server_message(str(error))}",
                hint="Check that the server runs, and check the user, password and database in "
                "the URL.",
            ) from None

    def acquire_for_thread(self) -> AdbcConnection:
        """Return a connection that the calling thread keeps."""
        connection = self.acquire()
        with self._lock:
            self._acquired.remove(connection)
            self._owned.setdefault(threading.current_thread(), []).append(connection)
        return connection

    def check_process(self) -> None:
        """Refuse to be used in a forked child: both processes would use one socket."""
        check_process(self._opened_by)

    def acquire(self) -> AdbcConnection:
        """Return a connection for use until it is released."""
        self.check_process()
        with self._lock:
            self._check_open()
            self._collect_from_ended_threads()
            connection = self._idle.pop() if self._idle else None
            if connection is not None:
                self._acquired.append(connection)
                return connection
        # Outside the lock: others do not have to wait for a server that does not answer.
        connection = self._connect()
        with self._lock:
            self._check_open()
            self._acquired.append(connection)
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigurationError(
                "the session is closed.",
                hint="Open one with bb.connect(...) and get its tables with bb.get_table(...).",
            )

    def _connect(self) -> AdbcConnection:
        try:
            return AdbcConnection(self._database, self.address.display_url)
        except adbc_driver_manager.Error as error:
            raise UnreachableError(
                f"{self.address.display_url} accepts no connection: {server_message(str(error))}.",
                hint="Check that the server runs and has free connections.",
            ) from None

    def release(self, connection: AdbcConnection) -> None:
        """Take back an acquired connection."""
        with self._lock:
            if connection in self._acquired:  # else all were closed meanwhile
                self._acquired.remove(connection)
                self._reuse(connection)

    def discard(self, connection: AdbcConnection) -> None:
        """Close a lost connection of a thread."""
        with self._lock:
            for connections in self._owned.values():
                if connection in connections:
                    connections.remove(connection)
            self._reuse(connection)

    def _collect_from_ended_threads(self) -> None:
        for thread in [thread for thread in self._owned if not thread.is_alive()]:
            for connection in self._owned.pop(thread):
                with suppress(BarbuleError, adbc_driver_manager.Error):
                    if connection.in_transaction:
                        connection.run("ROLLBACK")
                    connection.run("SELECT pg_advisory_unlock_all()")
                self._reuse(connection)

    def _reuse(self, connection: AdbcConnection) -> None:
        if connection.lost:
            # The server is unreachable for the idle ones, too.
            for lost in (connection, *self._idle):
                lost.close()
            self._idle.clear()
        elif connection.in_transaction:
            connection.close()
        else:
            self._idle.append(connection)

    def _all_connections(self) -> list[AdbcConnection]:
        owned = (connection for owned in self._owned.values() for connection in owned)
        return [*self._idle, *owned, *self._acquired]

    def close(self) -> None:
        """Close all connections."""
        if self._opened_by != os.getpid():
            return  # its parent closes them
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for connection in self._all_connections():
                # One with an unread stream is closed with the stream, at the latest.
                with suppress(RuntimeError):
                    connection.close()
            self._idle, self._acquired = [], []
            self._owned.clear()
            with suppress(RuntimeError):
                self._database.close()


_instances: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def _keep_open_in_child() -> None:
    """Never free the parent's connections in a forked child: that would close them there."""
    for pool in _instances:
        for connection in pool._all_connections():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_open_in_child)
