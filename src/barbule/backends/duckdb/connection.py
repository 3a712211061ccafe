"""The connection to DuckDB: cursors of threads, the write lock, snapshots and commits."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Self

import duckdb

from barbule.backends.duckdb.connections.memory_limit import limited_memory
from barbule.backends.duckdb.errors import (
    read_only_error,
    translate_disk_errors,
    translate_errors,
)
from barbule.backends.duckdb.staging import AppendedRows, registered
from barbule.errors import ConfigurationError
from barbule.tracing import statement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from barbule.backends.base import Staged
    from barbule.backends.duckdb.connections.shared_file import DuckDBFile

__all__ = ["DuckDBConnection"]

_HEAD = "SELECT max(id) FROM bb_commits"


class DuckDBConnection:
    """The use of one DuckDB database by threads, each on its own cursor."""

    name = "duckdb"
    many_writers = False

    def __init__(self, database: DuckDBFile) -> None:
        self._database = database
        self._local = threading.local()
        self._closed = False
        self._unpublished = 0  # commits of the writing thread that other threads do not see yet

    def use(self) -> AbstractContextManager[None]:
        """Keep the database open in this context; other processes get it when nobody uses it."""
        if self._closed:
            raise ConfigurationError(
                "the session is closed.",
                hint="Open one with bb.connect(...) and get its tables with bb.get_table(...).",
            )
        return self._database.use()

    def separate(self) -> Self:
        """Return one whose writes are committed independently of this one's."""
        return type(self)(self._database.share())

    def disconnect(self) -> None:
        """Close all connections; the last one closes the database."""
        self._local = threading.local()
        if not self._closed:
            self._closed = True
            self._database.leave()

    def stamp(self) -> object:
        """Return a value that differs once another process or session may have committed."""
        commits = self._database.commits
        if not getattr(self._local, "writers", 0):
            commits -= self._unpublished
        return self._database.openings, commits

    def plan_epoch(self) -> object:
        """Return a value that differs if plans that were made before may be invalid."""
        return self._database.openings, self._database.plan_epoch()

    def check_writable(self) -> None:
        """Refuse a read-only database, or one whose file no longer exists."""
        if self._database.read_only:
            raise read_only_error(self._database.path)
        self._database.check_file()

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the write lock: no other thread or process writes in this context.

        Until its end other threads do not see its commits: the writer is about to publish them.
        """
        with self.use(), self._database.write_lock:
            self._local.writers = writers = getattr(self._local, "writers", 0) + 1
            try:
                yield
            finally:
                self._local.writers = writers - 1
                if writers == 1:
                    self._unpublished = 0

    # Cursors

    @property
    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The calling thread's cursor; it lasts until the database is handed over."""
        cursor = getattr(self._local, "cursor", None)
        if cursor is None or self._local.opening != self._database.openings:
            cursor = self._local.cursor = self._database.cursor()
            self._local.opening = self._database.openings
            self._local.in_transaction = False
        elif not self._database.is_open:
            return self._renewed_cursor()
        return cursor

    def _renewed_cursor(self) -> duckdb.DuckDBPyConnection:
        self._local.cursor = None
        return self.cursor

    @property
    def in_transaction(self) -> bool:
        """Whether the calling thread is in a transaction that writes."""
        return getattr(self._local, "in_transaction", False)

    @contextmanager
    def separate_cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Keep the database open in this context, with a cursor that nothing else uses."""
        self._database.acquire()
        try:
            cursor = self._database.cursor()
            yield cursor
            self._database.close_cursor(cursor)
        finally:
            self._database.release()

    @contextmanager
    def registering(
        self, staged: Staged, *, united: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Make staged tables readable on the calling thread's cursor, and return it.

        Parameters
        ----------
        united
            Whether the statement unites their rows with others.
        """
        with self.use(), ExitStack() as stack:
            cursor = self.cursor
            for name, rows in staged.items():
                stack.enter_context(registered(cursor, name, rows, united=united))
            stack.enter_context(self.translated_disk_errors())
            stack.enter_context(translate_errors())
            yield cursor

    @property
    def appended_rows(self) -> AppendedRows:
        """The relation of appended rows of the calling thread's cursor."""
        cursor = self.cursor
        relation: AppendedRows | None = getattr(self._local, "appended_rows", None)
        if relation is None or relation.cursor is not cursor:
            relation = self._local.appended_rows = AppendedRows(cursor)
        return relation

    # Transactions

    @contextmanager
    def snapshot(self) -> Iterator[int]:
        """Let the calling thread read at one commit in this context; return the commit."""
        with self.use():
            cursor = self.cursor
            try:
                query = f"BEGIN; {_HEAD}"
                with statement(query):
                    (head,) = cursor.execute(query).fetchone() or (0,)
                yield head or 0
            finally:
                with suppress(duckdb.Error):  # it has failed, which ended it
                    cursor.rollback()

    @contextmanager
    def transaction(
        self, *, large: bool = False, invalidates_plans: bool = False
    ) -> Iterator[None]:
        """Commit the calling thread's writes atomically."""
        with (
            self.translated_disk_errors(),
            self.use(),
            limited_memory(self.cursor) if large else nullcontext(),
        ):
            cursor = self.cursor
            self._database.check_file()
            cursor.begin()
            self._local.in_transaction = True
            try:
                yield
            except BaseException:
                cursor.rollback()
                self._local.appended_rows = None  # relations registered in it no longer exist
                raise
            else:
                with self._database.invalidating_plans() if invalidates_plans else nullcontext():
                    with statement("COMMIT"):
                        cursor.commit()
                    if getattr(self._local, "writers", 0):
                        self._unpublished += 1
                    self._database.commits += 1
            finally:
                self._local.in_transaction = False

    def check_file(self) -> None:
        """Check that the file still exists, for a statement that writes."""
        if not self.in_transaction:  # a transaction has checked it when it began
            self._database.check_file()

    def translated_disk_errors(self) -> AbstractContextManager[None]:
        """Convert errors of the disk, which then name the file of the database."""
        return translate_disk_errors(self._database.path)
