"""Connections of DuckDB: opening a file, waiting for a process that has it open, and cursors."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import duckdb

from barbule.backends.duckdb.connections.address import check_format
from barbule.backends.duckdb.errors import translate_damage
from barbule.errors import LockedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["configure_cursor", "connect", "connect_in_memory"]

_RETRY_SECONDS = 0.01


def connect_in_memory() -> duckdb.DuckDBPyConnection:
    """Create a database in memory."""
    return duckdb.connect(":memory:")


def connect(
    path: Path, timeout: float, *, read_only: bool
) -> tuple[duckdb.DuckDBPyConnection, float]:
    """Open the file of a database; wait for a process that has it open, or is closing it.

    Parameters
    ----------
    timeout
        Maximum seconds to wait.

    Returns
    -------
    tuple
        The connection, and how many seconds its opening took once the file was free.

    Raises
    ------
    LockedError
        If another process has it open for longer.
    DiskError
        When the file is damaged.
    ConfigurationError
        If it has another format.
    """
    check_format(path)
    deadline = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        try:
            with translate_damage(path):
                connection = duckdb.connect(str(path), read_only=read_only)
                _configure(connection)
        except duckdb.IOException as error:
            text = str(error)
            if "could not set lock" not in text.lower():
                raise
            if time.monotonic() > deadline:
                raise LockedError(
                    f"another program has {path} open: {text.splitlines()[0]}.",
                    hint="Close it in that program, or raise lock_timeout.",
                ) from error
            time.sleep(_RETRY_SECONDS)
        else:
            return connection, time.monotonic() - began


def _configure(connection: duckdb.DuckDBPyConnection) -> None:
    """Configure uncompressed vectors, and a larger log before it is copied into the file.

    ALPRD saves an eighth of the disk space of vectors, and doubles the time of scanning them.
    DuckDB copies its log within the commit that makes it too long, 16 MiB by default: every second
    insert of 100k rows would take three times as long. A killed process leaves the log to the next
    one, which reads 64 MiB in half a second.
    """
    connection.execute("SET disabled_compression_methods = 'alprd'")
    connection.execute("SET checkpoint_threshold = '64 MiB'")


def configure_cursor(cursor: duckdb.DuckDBPyConnection) -> None:
    """Let a cursor read timestamps as UTC, and not read Python variables as tables."""
    cursor.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
