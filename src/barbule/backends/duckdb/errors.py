"""What DuckDB says of its disk and its memory, in our words.

Owns which of its errors are about those. What an expression asks of it that it cannot do is the
adapter's to say.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from barbule.errors import BarbuleError, ConfigurationError, DiskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["damage_explained", "disk_explained", "interruptible", "only_read"]

_KINDS = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.InvalidInputException,
    duckdb.TransactionException,
    duckdb.FatalException,
    duckdb.InternalException,
)
_READ_ONLY = "read-only mode"
_MEMORY = ("out of memory", "failed to pin block", "could not allocate", "failed to allocate")
_DISK = ("write", "open file", "create", "truncate", "sync", "space", "disk", "directory")
_FULL = ("no space left", "too large", "quota exceeded")
_DAMAGED = ("could not read", "corrupt", "checksum", "not a valid duckdb database")


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C be what it is everywhere else: DuckDB's driver makes an error of it."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from error
        raise
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error


@contextmanager
def damage_explained(path: Path) -> Iterator[None]:
    """Say in our words that the file of a database is damaged, or none of DuckDB.

    Raises
    ------
    DiskError
        When it is.
    """
    try:
        yield
    except duckdb.Error as error:
        if _is_damaged(error, path):
            raise _damaged(error, f"the database '{path}'") from error
        raise


@contextmanager
def disk_explained(path: Path | None) -> Iterator[None]:
    """Say in our words that the disk or the memory was not enough for DuckDB.

    Parameters
    ----------
    path
        The database; None is one in memory.

    Raises
    ------
    DiskError
        When its file, or one that it writes, cannot be written, its file is damaged, or it has too
        little memory.
    ConfigurationError
        When it can only be read.
    """
    try:
        yield
    except _KINDS as error:
        shown = "the database" if path is None else f"the database '{path}'"
        if path is not None and _is_damaged(error, path):
            raise _damaged(error, shown) from error
        explained = _explained(error, shown)
        if explained is None:
            raise
        raise explained from error


def _is_damaged(error: BaseException, path: Path) -> bool:
    """Whether DuckDB says that the file of a database is cut off, changed, or none of its own.

    Queries may read other files, too: what is wrong with those is another error.
    """
    text = str(error)
    lowered = text.lower()
    own = str(path) in text or "database file" in lowered
    return own and any(each in lowered for each in _DAMAGED)


def _damaged(error: duckdb.Error, shown: str) -> DiskError:
    reason = str(error).strip().splitlines()[0].rstrip(".!")
    return DiskError(
        f"{shown} cannot be read: {reason}.",
        hint="It is no database of DuckDB: check the path; or it is damaged: put back a copy of it."
        if "not a valid duckdb database" in reason.lower()
        else "Its file is damaged: put back a copy of it.",
    )


def only_read(path: Path | None) -> ConfigurationError:
    """Make the error of a change to a database that may only be read."""
    return _only_read(f"the database '{path}'")


def _only_read(shown: str) -> ConfigurationError:
    return ConfigurationError(
        f"{shown} can only be read: its file or its folder may not be written.",
        hint="Change their permissions, or copy it to where it may be written.",
    )


def _explained(error: duckdb.Error, shown: str) -> BarbuleError | None:
    text = str(error).strip().splitlines()[0].rstrip(".!")
    lowered = text.lower()
    if _READ_ONLY in lowered:
        return _only_read(shown)
    if isinstance(error, duckdb.OutOfMemoryException) or any(each in lowered for each in _MEMORY):
        return DiskError(
            f"{shown} has too little memory for this: {text}.",
            hint="Do it in smaller parts, or with a machine that has more.",
        )
    about_disk = any(each in lowered for each in _DISK)
    if isinstance(error, duckdb.InvalidInputException) or not about_disk:
        return None
    _, _, reason = text.rpartition(": ")
    number = errno.ENOSPC if any(each in lowered for each in _FULL) else errno.EIO
    return DiskError.of(shown, OSError(number, reason))
