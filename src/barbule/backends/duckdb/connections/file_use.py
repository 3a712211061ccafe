"""A use of a DuckDB file by a thread: from its beginning to its end the file stays open.

Owns the count of the uses of each thread, so that one within another costs nothing.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from barbule.backends.duckdb.errors import is_interruption

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["FileUse", "ThreadUses"]


class UsedFile(Protocol):
    """A file that is open while it is used."""

    def begin_use(self) -> None:
        """Begin a use by the calling thread."""

    def end_use(self) -> None:
        """End the latest use by the calling thread."""


class ThreadUses(threading.local):
    """How many uses a thread is in, and how often it has acquired the database for them."""

    depth = 0
    acquired = 0


class FileUse:
    """A use of a database as a context.

    Written out, and not as a generator: each statement begins one.
    """

    __slots__ = ("_database",)

    def __init__(self, database: UsedFile) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.begin_use()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._database.end_use()
        if error is not None and is_interruption(error):
            raise KeyboardInterrupt from error
