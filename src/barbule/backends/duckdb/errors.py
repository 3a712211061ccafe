"""Errors of DuckDB as errors of barbule.

Owns which of DuckDB's errors are about an expression, the disk, the memory or a damaged file.
"""

from __future__ import annotations

import errno
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import ibis.common.exceptions as com

from barbule.errors import (
    BarbuleError,
    ConfigurationError,
    DataError,
    DiskError,
    UnsupportedError,
    too_deep_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "first_line",
    "is_interruption",
    "raise_keyboard_interrupt",
    "read_only_error",
    "translate_damage",
    "translate_disk_errors",
    "translate_errors",
]

_DISK_EXCEPTIONS = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.InvalidInputException,
    duckdb.TransactionException,
    duckdb.FatalException,
    duckdb.InternalException,
)
# Parts of DuckDB's messages, by what they are about.
_READ_ONLY = "read-only mode"
_TOO_DEEP = "expression depth limit"
_OUT_OF_MEMORY = (
    "out of memory",
    "failed to pin block",
    "could not allocate",
    "failed to allocate",
)
_DISK = ("write", "open file", "create", "truncate", "sync", "space", "disk", "directory")
_DISK_FULL = ("no space left", "too large", "quota exceeded")
_DAMAGED = ("could not read", "corrupt", "checksum", "not a valid duckdb database")
_SOURCE_COLUMN = re.compile(r" when casting from source column c\d+$")  # the column's stored name


def first_line(error: Exception) -> str:
    """Return the first line of an error, without the stored name of a column."""
    return _SOURCE_COLUMN.sub("", str(error).splitlines()[0])


@contextmanager
def translate_errors() -> Iterator[None]:
    """Convert the errors of expressions that DuckDB cannot compile or compute.

    Raises
    ------
    UnsupportedError
        If it cannot compile an expression.
    DataError
        If it cannot compute some values.
    """
    try:
        yield
    except (com.OperationNotDefinedError, com.UnsupportedOperationError) as error:
        raise UnsupportedError(
            f"DuckDB cannot run this expression: {error}.",
            hint="Rewrite that part, or compute it in a @bb.udf.",
        ) from error
    except duckdb.InvalidInputException as error:
        raise DataError(
            f"the database cannot compute this: {first_line(error)}.",
            hint="Correct the pattern or the format, or filter out the values that do not match "
            "it.",
        ) from error
    except duckdb.ProgrammingError as error:
        if _TOO_DEEP in str(error):
            raise too_deep_error() from error
        raise UnsupportedError(
            f"DuckDB cannot run this expression: {first_line(error)}.",
            hint="Correct the names and types that the message mentions.",
        ) from error
    except duckdb.DataError as error:
        raise DataError(
            f"the database cannot compute this: {first_line(error)}.",
            hint="Filter out such values first, or use try_cast() where cast() fails. ceil(), "
            "floor(), round() and // of floats return 64-bit integers: (t.x.abs() < "
            "2**53).ifelse(t.x.ceil(), t.x) keeps larger and infinite ones."
            if "INT64" in str(error)
            else "Filter out such values first, or use try_cast() where cast() fails.",
        ) from error


def is_interruption(error: BaseException) -> bool:
    """Whether an error is the one that DuckDB's driver raises for Ctrl-C."""
    if isinstance(error, duckdb.InterruptException):
        return True
    return isinstance(error, RuntimeError) and str(error) == "Query interrupted"


@contextmanager
def raise_keyboard_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt if DuckDB's driver raises its own error for Ctrl-C."""
    try:
        yield
    except (RuntimeError, duckdb.InterruptException) as error:
        if is_interruption(error):
            raise KeyboardInterrupt from error
        raise


@contextmanager
def translate_damage(path: Path) -> Iterator[None]:
    """Convert the errors of a file that is damaged, or not a DuckDB database.

    Raises
    ------
    DiskError
        If it is.
    """
    try:
        yield
    except duckdb.Error as error:
        if _is_damaged(error, path):
            raise _damaged_error(error, f"the database '{path}'") from error
        raise


@contextmanager
def translate_disk_errors(path: Path | None) -> Iterator[None]:
    """Convert the errors of DuckDB about its disk and its memory.

    Parameters
    ----------
    path
        The database; None for one in memory.

    Raises
    ------
    DiskError
        If its file, or one that it writes, cannot be written, its file is damaged, or it has too
        little memory.
    ConfigurationError
        If it is read-only.
    """
    try:
        yield
    except _DISK_EXCEPTIONS as error:
        database = "the database" if path is None else f"the database '{path}'"
        if path is not None and _is_damaged(error, path):
            raise _damaged_error(error, database) from error
        translated = _translated(error, database)
        if translated is None:
            raise
        raise translated from error


def _is_damaged(error: BaseException, path: Path) -> bool:
    """Whether an error means that a database file is truncated, changed, or in another format.

    Queries may read other files, too: errors about those are not about the database.
    """
    text = str(error)
    lowered = text.lower()
    about_database = str(path) in text or "database file" in lowered
    return about_database and any(phrase in lowered for phrase in _DAMAGED)


def _damaged_error(error: duckdb.Error, database: str) -> DiskError:
    reason = str(error).strip().splitlines()[0].rstrip(".!")
    return DiskError(
        f"{database} cannot be read: {reason}.",
        hint="If it is not a DuckDB database, check the path. If it is damaged, restore a backup."
        if "not a valid duckdb database" in reason.lower()
        else "Its file is damaged: restore a backup.",
    )


def read_only_error(path: Path | None) -> ConfigurationError:
    """Return the error for a change to a read-only database."""
    return _read_only_error(f"the database '{path}'")


def _read_only_error(database: str) -> ConfigurationError:
    return ConfigurationError(
        f"{database} is read-only: the process may not write to its file or folder.",
        hint="Change the permissions, or copy the database to a writable folder.",
    )


def _translated(error: duckdb.Error, database: str) -> BarbuleError | None:
    text = str(error).strip().splitlines()[0].rstrip(".!")
    lowered = text.lower()
    if _READ_ONLY in lowered:
        return _read_only_error(database)
    if isinstance(error, duckdb.OutOfMemoryException) or any(
        phrase in lowered for phrase in _OUT_OF_MEMORY
    ):
        return DiskError(
            f"{database} has too little memory for this operation: {text}.",
            hint="Split the operation into smaller parts, or use a machine with more memory.",
        )
    about_disk = any(phrase in lowered for phrase in _DISK)
    if isinstance(error, duckdb.InvalidInputException) or not about_disk:
        return None
    _, _, reason = text.rpartition(": ")
    number = errno.ENOSPC if any(phrase in lowered for phrase in _DISK_FULL) else errno.EIO
    return DiskError.of(database, OSError(number, reason))
