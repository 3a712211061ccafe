"""One DuckDB database of this process, and when other processes get it.

DuckDB lets one process open a file. Owns the opening of it when it is needed, and its closing
when nobody here uses it while another process waits. All adapters of a process on one file
share what is here.
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

from barbule.backends.duckdb.errors import damage_explained, interruptible
from barbule.backends.duckdb.paths import check_format, identity_of, may_not_be_written
from barbule.errors import ConfigurationError, DiskError, LockedError
from barbule.locks import Lease, check_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DuckDBFile"]

_WATCH = 0.01  # how often an unused database looks whether another process waits, in seconds
_FORK_PATIENCE = 1.0  # seconds for which a fork waits for threads that open or close a database
_TURN = 0.05  # how long it is used at a stretch while others wait, at least
_LONGEST_TURN = 0.5
_TURN_PER_SWITCH = 3.0  # times what opening and closing takes: less, and processes do little else


class DuckDBFile:
    """A DuckDB database, opened for as long as it is used or nobody else wants it.

    Parameters
    ----------
    path
        The file; None keeps the database in memory.
    timeout
        How long to wait for a process that uses it, in seconds.
    """

    def __init__(self, path: Path | None, timeout: float) -> None:
        self.path = path
        self.read_only = path is not None and may_not_be_written(path)
        self._timeout = timeout
        self._lease = (
            None
            if path is None or self.read_only  # nobody writes, and all may read at once
            else Lease(path.with_name(f"{path.name}.lock"), timeout)
        )
        self._state = threading.Condition(threading.RLock())
        self._mine = threading.local()
        self._users = 0
        self._root: duckdb.DuckDBPyConnection | None = None
        self._cursors: list[duckdb.DuckDBPyConnection] = []
        self._since = 0.0  # when it was opened
        self._used = 0.0  # when somebody has last let it go
        self._looked = 0.0  # when it was last asked whether another process waits
        self._opening_time = self._closing_time = 0.0
        self._yielding = False
        self._closed = False
        self._sharers = 0
        self._identity: tuple[int, int] | None = None  # device and inode of the file
        self.openings = 0
        self.commits = 0
        self.write_lock = threading.RLock()
        self._unsettling = threading.Condition()
        self._unsettled = (0, 0)  # transactions that began and ended to make plans wrong
        self._opened_by = os.getpid()
        _all.add(self)

    # Who shares it

    @classmethod
    def shared(cls, path: Path | None, timeout: float) -> DuckDBFile:
        """Return the database of a file, one for the whole process."""
        if path is None:
            made = cls(None, timeout)
            made._sharers = 1
            return made
        with _guard:
            found = _files.get(path)
            if found is not None:
                found.check_file()
            else:
                found = _files[path] = cls(path, timeout)
                try:
                    with found.use():
                        pass
                except BaseException:
                    del _files[path]
                    raise
            found._sharers += 1
            return found

    def share(self) -> DuckDBFile:
        """Count one more who shares it."""
        with _guard:
            self._sharers += 1
        return self

    def leave(self) -> None:
        """Count one less; the last one closes it."""
        if self._opened_by != os.getpid():
            return  # its parent closes it
        with _guard:
            self._sharers -= 1
            if self._sharers > 0:
                return
            if self.path is not None and _files.get(self.path) is self:
                del _files[self.path]
        with self._state:
            self._closed = True
            self._close()
            self._state.notify_all()

    # Use

    def check_file(self) -> None:
        """Make sure that the path still is that of the file which was opened.

        What is written to one that was deleted or replaced is in no file of that name: DuckDB
        writes on, and it is lost when the database is closed.

        Raises
        ------
        DiskError
            When it is not.
        """
        if self.path is None or self._identity is None:
            return
        found = identity_of(self.path)  # about a microsecond
        if found == self._identity:
            return
        raise DiskError(
            f"the file of the database '{self.path}' was "
            f"{'deleted' if found is None else 'replaced by another'} while it was in use: what "
            "is written now would be lost.",
            hint="Put it back by a rename, or close the session and connect again. Until it is "
            "closed rows can usually still be read, and kept by to_parquet().",
        )

    @contextlib.contextmanager
    def use(self) -> Iterator[None]:
        """Keep the database open meanwhile, waiting for another process if need be.

        Raises
        ------
        LockedError
            When another process keeps it for longer than the timeout.
        """
        self.hold()
        self._mine.depth = self._depth + 1
        try:
            with interruptible():
                yield
        finally:
            self._mine.depth -= 1
            self.let_go()

    @property
    def _depth(self) -> int:
        return getattr(self._mine, "depth", 0)

    def hold(self) -> None:
        """Keep the database open until `let_go`, which another thread may call."""
        check_process(self._opened_by)  # before the lock, which a thread of the parent may have
        with self._state:
            # A thread that has it in use may not wait for itself.
            while self._yielding and self._depth == 0 and self._users:
                self._state.wait(_TURN)
                self._yielding = self._yielding and self._is_wanted()
            self._open()
            self._users += 1

    def let_go(self) -> None:
        """End what `hold` began."""
        wanted = self._turn_is_over()  # outside the lock, for which every use has to wait
        with self._state:
            self._users -= 1
            self._used = time.monotonic()
            if self._yielding or wanted:
                self._hand_over()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a new cursor; it works until the database is handed over."""
        with self._state:
            self._open()
            if self._root is None:
                raise ValueError("the database is not open")
            made = self._root.cursor()
            self._cursors.append(made)
        made.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
        return made

    def end(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Close a cursor before the database is handed over."""
        with self._state, contextlib.suppress(ValueError):
            self._cursors.remove(cursor)
        cursor.close()

    @contextlib.contextmanager
    def invalidating_plans(self) -> Iterator[None]:
        """Say that what is planned before the end of a transaction may be wrong after it."""
        with self._unsettling:
            self._unsettled = (self._unsettled[0] + 1, self._unsettled[1])
        try:
            yield
        finally:
            with self._unsettling:
                self._unsettled = (self._unsettled[0], self._unsettled[1] + 1)
                self._unsettling.notify_all()

    def plan_epoch(self) -> int:
        """Return what differs once plans that were made before may be wrong."""
        began, ended = self._unsettled
        if began == ended:
            return began
        with self._unsettling:
            self._unsettling.wait_for(lambda: self._unsettled[0] == self._unsettled[1])
            return self._unsettled[0]

    @property
    def is_open(self) -> bool:
        """Whether this process has the database open now."""
        return self._root is not None

    def _open(self) -> None:
        if self._closed:
            raise ConfigurationError(
                "the session is closed.",
                hint="Open one by bb.connect(...), and get its tables by bb.get_table(...).",
            )
        if self._root is not None:
            return
        if self.path in _inherited:  # DuckDB would give what the parent has open, without a lock
            raise ConfigurationError(
                f"this process was forked while a thread of its parent used {self.path}.",
                hint="Fork when no operation runs, start processes by spawn or forkserver, or use "
                "Postgres.",
            )
        if self.path is None:
            self._root = duckdb.connect(":memory:")
        elif self._lease is None:
            self._root = self._connect(self.path)
        else:
            self._lease.acquire()
            try:
                self._root = self._connect(self.path)
            except BaseException:
                self._lease.release()
                raise
            self._since = time.monotonic()
        if self.path is not None:
            self._identity = identity_of(self.path)
        self.openings += 1
        if self._lease is not None:
            threading.Thread(
                target=self._watch, args=(self.openings,), name="barbule-hand-over", daemon=True
            ).start()

    def _connect(self, path: Path) -> duckdb.DuckDBPyConnection:
        """Open the file; a process that keeps no turn, or is closing it, is waited for too."""
        self.check_file()  # DuckDB would make a new, empty one
        check_format(path)
        deadline = time.monotonic() + self._timeout
        while True:
            began = time.monotonic()
            try:
                with damage_explained(path):
                    made = _set_up(duckdb.connect(str(path), read_only=self.read_only))
            except duckdb.IOException as error:
                text = str(error)
                if "could not set lock" not in text.lower():
                    raise
                if time.monotonic() > deadline:
                    raise LockedError(
                        f"another program has {path} open: {text.splitlines()[0]}.",
                        hint="Close it there, or raise lock_timeout.",
                    ) from error
                time.sleep(_WATCH)
            else:
                self._opening_time = time.monotonic() - began
                return made

    def _close(self) -> None:
        began = time.monotonic()
        cursors, self._cursors = self._cursors, []
        for cursor in cursors:
            with contextlib.suppress(duckdb.Error):
                cursor.close()
        root, self._root = self._root, None
        if root is not None:
            root.close()
        self._closing_time = time.monotonic() - began
        if self._lease is not None:
            self._lease.release()

    def close_before_fork(self) -> None:
        """Close the file, so that a forked child can open it: it is opened again when it is used.

        One that is in use stays open.
        """
        if self.path is None or not self._state.acquire(timeout=_FORK_PATIENCE):
            return
        try:
            if not self._users and self._root is not None:
                self._close()
        finally:
            self._state.release()

    # Handing over

    def _is_wanted(self) -> bool:
        return self._lease is not None and self._lease.wanted()

    @property
    def _turn(self) -> float:
        """How long it is used at a stretch while others wait, in seconds."""
        switch = self._opening_time + self._closing_time
        return min(max(_TURN, _TURN_PER_SWITCH * switch), _LONGEST_TURN)

    def _turn_is_over(self) -> bool:
        now = time.monotonic()
        if self._lease is None or now - self._since < self._turn or now - self._looked < _TURN:
            return False
        self._looked = now  # looking costs a little: not at every use
        return self._is_wanted()

    def _hand_over(self) -> None:
        if self._users:
            self._yielding = True
            return
        self._yielding = False
        if not self._closed:
            self._close()
        self._state.notify_all()

    def _watch(self, opening: int) -> None:
        """Hand the database over when another process waits; ends with the turn.

        That of a program which only goes from one use to the next lasts.
        """
        while True:
            time.sleep(_WATCH)
            wanted = self._is_wanted()  # outside the lock, for which every use has to wait
            with self._state:
                if self._root is None or self.openings != opening:
                    return
                now = time.monotonic()
                unused = not self._users and now - self._used > _WATCH
                if wanted and (unused or now - self._since > self._turn):
                    self._hand_over()


_guard = threading.RLock()
_files: dict[Path, DuckDBFile] = {}
_all: weakref.WeakSet[DuckDBFile] = weakref.WeakSet()
_inherited: set[Path] = set()  # what the parent of a forked process had open


def _close_before_fork() -> None:
    for database in list(_all):
        database.close_before_fork()


def _forget_in_child() -> None:
    """Forget them in a forked child, which has none of its parent's open.

    Nothing of DuckDB may be closed there, as that would write to the file of the parent: its
    objects are kept for ever.
    """
    global _guard  # noqa: PLW0603 - one state of the process
    _guard = threading.RLock()
    _files.clear()
    for database in _all:
        if database._root is None:
            continue
        if database.path is not None:
            _inherited.add(database.path)
        for opened in (database._root, *database._cursors):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(opened))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_before_fork, after_in_child=_forget_in_child)


def _set_up(made: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Have vectors written as they are, and the log carried into the file less often.

    ALPRD saves an eighth of what vectors take on the disk, and doubles the time of a scan of them.
    DuckDB carries its log over within the commit that makes it too long, 16 MiB by itself: each
    second insert of 100k rows would take three times as long. A process that has been killed
    leaves the log to the next one, which reads 64 MiB in half a second.
    """
    made.execute("SET disabled_compression_methods = 'alprd'")
    made.execute("SET checkpoint_threshold = '64 MiB'")
    return made
