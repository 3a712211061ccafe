"""The file of a DuckDB database in this process, and its handover to other processes.

DuckDB lets one process open a file. Owns opening the file when it is used, and closing it when
nobody in this process uses it while another process waits for it. All adapters of a process on one
file share one object.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

import duckdb

from barbule.backends.duckdb.connections.address import file_identity, is_read_only
from barbule.backends.duckdb.connections.connection import (
    configure_cursor,
    connect,
    connect_in_memory,
)
from barbule.backends.duckdb.connections.file_use import FileUse, ThreadUses
from barbule.errors import ConfigurationError, DiskError
from barbule.locks import Lease, check_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DuckDBFile"]

_POLL_SECONDS = 0.01  # between two checks of an unused database for waiting processes
_FORK_TIMEOUT_SECONDS = 1.0  # for which a fork waits for threads that open or close a database
# The maximum continuous use by a process while others wait. Below three times the time to close and
# open it, processes would do little else.
_MIN_TURN_SECONDS = 0.05
_MAX_TURN_SECONDS = 0.5
_TURN_TO_SWITCH_RATIO = 3.0


class DuckDBFile:
    """A DuckDB database, open while it is used or no other process waits for it.

    Parameters
    ----------
    path
        The file; None for a database in memory.
    timeout
        Maximum seconds to wait for a process that uses it.

    Attributes
    ----------
    openings
        How often the file has been opened.
    commits
        How many transactions this process has committed.
    write_lock
        Held by the thread that writes.
    """

    def __init__(self, path: Path | None, timeout: float) -> None:
        self.path = path
        self.read_only = path is not None and is_read_only(path)
        self._timeout = timeout
        self._lease = (
            None
            if path is None or self.read_only  # nobody writes, and all may read concurrently
            else Lease(path.with_name(f"{path.name}.lock"), timeout)
        )
        self._condition = threading.Condition(threading.RLock())
        self._thread = ThreadUses()
        self._users = 0
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._cursors: list[duckdb.DuckDBPyConnection] = []
        self._opened_at = 0.0
        self._released_at = 0.0  # when its last use ended
        self._checked_at = 0.0  # when it was last checked whether another process waits
        self._opening_seconds = self._closing_seconds = 0.0
        self._is_handing_over = False
        self._closed = False
        self._sharers = 0
        self._identity: tuple[int, int] | None = None  # device and inode of the file
        self.openings = 0
        self.commits = 0
        self.write_lock = threading.RLock()
        self._invalidation = threading.Condition()
        self._invalidations = (0, 0)  # how many began, and how many ended
        self._opened_by = os.getpid()
        _instances.add(self)

    # Sharing within the process

    @classmethod
    def shared(cls, path: Path | None, timeout: float) -> DuckDBFile:
        """Return the database of a file, one for the whole process."""
        if path is None:
            return cls(None, timeout).share()
        with _guard:
            existing = _files.get(path)
            if existing is not None:
                existing.check_file()
                return existing.share()
            database = _files[path] = cls(path, timeout)
            try:
                with database.use():
                    pass
            except BaseException:
                del _files[path]
                raise
            return database.share()

    def share(self) -> DuckDBFile:
        """Count one more adapter that shares it."""
        with _guard:
            self._sharers += 1
        return self

    def leave(self) -> None:
        """Count one adapter less; the last one closes it."""
        if self._opened_by != os.getpid():
            return  # its parent closes it
        with _guard:
            self._sharers -= 1
            if self._sharers > 0:
                return
            if self.path is not None and _files.get(self.path) is self:
                del _files[self.path]
        with self._condition:
            self._closed = True
            self._close()
            self._condition.notify_all()

    # Use

    def check_file(self) -> None:
        """Check that the path still names the file which was opened.

        Writes to a file that was deleted or replaced are lost: DuckDB continues to write, and the
        data is lost when the database is closed.

        Raises
        ------
        DiskError
            If it does not.
        """
        if self.path is None or self._identity is None:
            return
        identity = file_identity(self.path)  # about a microsecond
        if identity == self._identity:
            return
        raise DiskError(
            f"the file of the database '{self.path}' was "
            f"{'deleted' if identity is None else 'replaced by another'} while it was in use; new "
            "writes would be lost.",
            hint="Move the original file back (by a rename), or close the session and connect "
            "again. Until you close it, rows can usually still be read and exported with "
            "to_parquet().",
        )

    def use(self) -> FileUse:
        """Keep the database open in this context, after waiting for another process if necessary.

        Raises
        ------
        LockedError
            If another process holds it for longer than the timeout.
        """
        return FileUse(self)

    def begin_use(self) -> None:
        """Begin a use by the calling thread; one within another one costs nothing."""
        thread = self._thread
        if thread.depth == 0 or self._connection is None:
            self.acquire()
            thread.acquired += 1
        thread.depth += 1

    def end_use(self) -> None:
        """End the latest use by the calling thread."""
        thread = self._thread
        thread.depth -= 1
        while thread.depth == 0 and thread.acquired:
            thread.acquired -= 1
            self.release()

    def acquire(self) -> None:
        """Keep the database open until `release`, which another thread may call."""
        check_process(self._opened_by)  # before the lock, which a thread of the parent may hold
        with self._condition:
            # A thread that uses it may not wait for itself.
            while self._is_handing_over and self._thread.depth == 0 and self._users:
                self._condition.wait(_MIN_TURN_SECONDS)
                self._is_handing_over = self._is_handing_over and self._has_waiters()
            self._open()
            self._users += 1

    def release(self) -> None:
        """End the use that `acquire` began."""
        is_over = self._turn_is_over()  # outside the lock, for which every use has to wait
        with self._condition:
            self._users -= 1
            self._released_at = time.monotonic()
            if self._is_handing_over or is_over:
                self._hand_over()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new cursor; it works until the database is handed over."""
        with self._condition:
            self._open()
            if self._connection is None:
                raise ValueError("the database is not open")
            cursor = self._connection.cursor()
            self._cursors.append(cursor)
        configure_cursor(cursor)
        return cursor

    def close_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Close a cursor before the database is handed over."""
        with self._condition, contextlib.suppress(ValueError):
            self._cursors.remove(cursor)
        cursor.close()

    # Invalidated plans

    @contextlib.contextmanager
    def invalidating_plans(self) -> Iterator[None]:
        """Invalidate query plans from before the end of this context."""
        with self._invalidation:
            self._invalidations = (self._invalidations[0] + 1, self._invalidations[1])
        try:
            yield
        finally:
            with self._invalidation:
                self._invalidations = (self._invalidations[0], self._invalidations[1] + 1)
                self._invalidation.notify_all()

    def plan_epoch(self) -> int:
        """Return a number that changes when plans become invalid; wait while some do."""
        began, ended = self._invalidations
        if began == ended:
            return began
        with self._invalidation:
            self._invalidation.wait_for(lambda: self._invalidations[0] == self._invalidations[1])
            return self._invalidations[0]

    # Opening and closing

    @property
    def is_open(self) -> bool:
        """Whether this process has the database open."""
        return self._connection is not None

    def _open(self) -> None:
        if self._closed:
            raise ConfigurationError(
                "the session is closed.",
                hint="Open one with bb.connect(...) and get its tables with bb.get_table(...).",
            )
        if self._connection is not None:
            return
        if self.path in _inherited_paths:  # DuckDB would return the parent's, without a lock
            raise ConfigurationError(
                f"this process was forked while a thread of its parent used {self.path}.",
                hint="Fork only while no operation runs, start processes with spawn or "
                "forkserver, or use Postgres.",
            )
        if self.path is None:
            self._connection = connect_in_memory()
        elif self._lease is None:
            self._connection = self._connect(self.path)
        else:
            self._lease.acquire()
            try:
                self._connection = self._connect(self.path)
            except BaseException:
                self._lease.release()
                raise
            self._opened_at = time.monotonic()
        if self.path is not None:
            self._identity = file_identity(self.path)
        self.openings += 1
        if self._lease is not None:
            threading.Thread(
                target=self._watch, args=(self.openings,), name="barbule-hand-over", daemon=True
            ).start()

    def _connect(self, path: Path) -> duckdb.DuckDBPyConnection:
        self.check_file()  # DuckDB would create a new, empty one
        connection, self._opening_seconds = connect(path, self._timeout, read_only=self.read_only)
        return connection

    def _close(self) -> None:
        began = time.monotonic()
        cursors, self._cursors = self._cursors, []
        for cursor in cursors:
            with contextlib.suppress(duckdb.Error):
                cursor.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._closing_seconds = time.monotonic() - began
        if self._lease is not None:
            self._lease.release()

    def close_before_fork(self) -> None:
        """Close the file, so that a forked child can open it: it is opened again when it is used.

        One that is in use stays open.
        """
        if self.path is None or not self._condition.acquire(timeout=_FORK_TIMEOUT_SECONDS):
            return
        try:
            if not self._users and self._connection is not None:
                self._close()
        finally:
            self._condition.release()

    # Handing over to other processes

    def _has_waiters(self) -> bool:
        return self._lease is not None and self._lease.has_waiters()

    @property
    def _turn_seconds(self) -> float:
        """The maximum continuous use while others wait."""
        switch = self._opening_seconds + self._closing_seconds
        return min(max(_MIN_TURN_SECONDS, _TURN_TO_SWITCH_RATIO * switch), _MAX_TURN_SECONDS)

    def _turn_is_over(self) -> bool:
        now = time.monotonic()
        if (
            self._lease is None
            or now - self._opened_at < self._turn_seconds
            or now - self._checked_at < _MIN_TURN_SECONDS
        ):
            return False
        self._checked_at = now  # the check has a cost: it is not done at every use
        return self._has_waiters()

    def _hand_over(self) -> None:
        if self._users:
            self._is_handing_over = True
            return
        self._is_handing_over = False
        if not self._closed:
            self._close()
        self._condition.notify_all()

    def _watch(self, opening: int) -> None:
        """Hand the database over if another process waits and it is unused; ends with the turn.

        The turn of a program that uses it continuously lasts for its full time.
        """
        while True:
            time.sleep(_POLL_SECONDS)
            has_waiters = self._has_waiters()  # outside the lock, for which every use has to wait
            with self._condition:
                if self._connection is None or self.openings != opening:
                    return
                now = time.monotonic()
                unused = not self._users and now - self._released_at > _POLL_SECONDS
                if has_waiters and (unused or now - self._opened_at > self._turn_seconds):
                    self._hand_over()


_guard = threading.RLock()
_files: dict[Path, DuckDBFile] = {}
_instances: weakref.WeakSet[DuckDBFile] = weakref.WeakSet()
_inherited_paths: set[Path] = set()  # files that the parent of a forked process had open


def _close_before_fork() -> None:
    for database in list(_instances):
        database.close_before_fork()


def _reset_in_child() -> None:
    """Start with no open files in a forked child.

    Nothing of DuckDB may be closed there, because that would write to the file of the parent: its
    objects are never freed.
    """
    global _guard  # noqa: PLW0603 - one state of the process
    _guard = threading.RLock()
    _files.clear()
    for database in _instances:
        if database._connection is None:
            continue
        if database.path is not None:
            _inherited_paths.add(database.path)
        for connection in (database._connection, *database._cursors):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork, after_in_child=_reset_in_child)
