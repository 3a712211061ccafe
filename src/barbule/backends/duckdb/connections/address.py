"""The location of a DuckDB database: from a URL to the path of its file.

Owns the checks of the path and of the file without DuckDB: whether it exists, may be written, and
belongs to another program.
"""

from __future__ import annotations

import os
from pathlib import Path

from barbule.errors import ConfigurationError

__all__ = ["check_format", "check_path", "file_identity", "is_read_only", "read_address"]

_SQLITE_MAGIC = b"SQLite format 3\0"


def read_address(url: str) -> Path | None:
    """Return the path that a URL names, None for a database in memory.

    Examples
    --------
    >>> str(read_address("duckdb:///data/app.duckdb")), read_address("duckdb://")
    ('/data/app.duckdb', None)
    """
    path = url.split("://", 1)[1] if "://" in url else url.split(":", 1)[1]
    path = path.split("?", 1)[0]
    return None if path in {"", ":memory:", "/:memory:"} else Path(path)


def check_path(path: Path) -> None:
    """Check that a database may be at a path: its folder exists, and it is a regular file.

    Raises
    ------
    ConfigurationError
        When it may not.
    """
    if not path.parent.exists():
        raise ConfigurationError(
            f"there is no folder {str(path.parent)!r} for the database {path.name!r}.",
            hint="Check the path (an absolute one has three slashes, duckdb:///data/app.duckdb), "
            f"or create the folder: pathlib.Path({str(path.parent)!r}).mkdir(parents=True).",
        )
    if path.exists() and not (path.is_file() or path.is_dir()):
        # DuckDB would wait for the other end of a pipe.
        raise ConfigurationError(
            f"the database {str(path)!r} is not a regular file (it is a device, a pipe or a "
            "socket).",
            hint="Check the path.",
        )


def file_identity(path: Path) -> tuple[int, int] | None:
    """Return the device and the inode of a file; None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - at each write: half the time of `Path.stat`
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_format(path: Path) -> None:
    """Refuse a file for which DuckDB would download an extension."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
    except OSError:  # it does not exist, or DuckDB reports what is wrong
        return
    if magic == _SQLITE_MAGIC:
        raise ConfigurationError(
            f"'{path}' is a SQLite database, not a DuckDB database.",
            hint="Check the path, or pass the path of a new database.",
        )


def is_read_only(path: Path) -> bool:
    """Whether a file exists that this process can only read.

    Its folder counts, too: DuckDB writes its log there, and the lock file is there.
    """
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return path.exists() and not writable
