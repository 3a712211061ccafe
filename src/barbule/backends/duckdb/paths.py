"""What is at the path of a DuckDB database.

Owns what is learnt of the file without DuckDB: which one it is, whether it may be written, and
whether it is one of another program.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_format", "identity_of", "may_not_be_written"]

_SQLITE = b"SQLite format 3\0"  # how a file of it begins


def identity_of(path: Path) -> tuple[int, int] | None:
    """Return the device and the inode of a file; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - at each write: half the time of `Path.stat`
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_format(path: Path) -> None:
    """Refuse a file for which DuckDB would download an extension."""
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_SQLITE))
    except OSError:  # none yet, or one of which DuckDB says what is wrong
        return
    if beginning == _SQLITE:
        raise ConfigurationError(
            f"'{path}' is a database of SQLite, not of DuckDB.",
            hint="Check the path, or give another one to make a database there.",
        )


def may_not_be_written(path: Path) -> bool:
    """Whether a file is there that this process can only read.

    Its folder counts, too: DuckDB keeps its log there, and processes their turns.
    """
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return path.exists() and not writable
