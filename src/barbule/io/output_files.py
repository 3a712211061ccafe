"""Output files: checked before anything is computed, and replaced atomically.

Builds the errors of paths that cannot be written. The writers check URLs.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from typing import TYPE_CHECKING

from barbule.errors import DataError
from barbule.locations import expand_user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["check_folder", "check_target", "is_json_lines", "target_file"]

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/")


def check_target(path: object) -> Path | None:
    """Check the path of a file to write; return it, or None for a URL.

    Raises
    ------
    DataError
        If it is not a path or that of a folder, or its folder is missing or not writable.

    Examples
    --------
    >>> check_target("rows.csv").name
    'rows.csv'
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise DataError("this is not a path of a file.", value=path, hint='Write "rows.csv", say.')
    name = os.fspath(path)
    if _URL.match(str(name)):
        return None
    file = expand_user(path)
    if file.is_dir():
        raise DataError(
            f"{str(file)!r} is a folder.",
            hint=f"Pass the name of a file in it: {str(file / 'rows')!r}, with its ending.",
        )
    _check_parent(file)
    if file.exists() and not os.access(file, os.W_OK):
        raise _not_writable_error(file)
    return file


def check_folder(path: Path) -> None:
    """Check that a folder can be created, or is writable if it exists.

    Raises
    ------
    DataError
        If it is not writable, or one of its parents is a file.
    """
    existing = path
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise DataError(
            f"{str(existing)!r} is a file, so {str(path)!r} cannot be a folder.",
            hint="Pass another folder.",
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _not_writable_error(existing)


def _check_parent(file: Path) -> None:
    folder = file.parent
    if not folder.exists():
        raise DataError(
            f"there is no folder {str(folder)!r} for the file {file.name!r}.",
            hint=f"Create it with pathlib.Path({str(folder)!r}).mkdir(parents=True), or check the "
            "path and the working directory.",
        )
    if not folder.is_dir():
        raise DataError(
            f"{str(folder)!r} is a file, so {file.name!r} cannot be written into it.",
            hint="Pass another folder.",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_writable_error(folder)


def _not_writable_error(path: Path) -> DataError:
    return DataError(
        f"the current user may not write {str(path)!r}.",
        hint="Pass another folder, or change the permissions.",
    )


def is_json_lines(path: object) -> bool:
    """Whether a file has one JSON object per line, by its name, compressed or not.

    Examples
    --------
    >>> is_json_lines("rows.jsonl.gz"), is_json_lines("rows.json")
    (True, False)
    """
    endings = str(path).lower().split(".")[1:]
    return not {"jsonl", "ndjson"}.isdisjoint(endings[-2:])


@contextlib.contextmanager
def target_file(path: str | os.PathLike[str]) -> Iterator[str | os.PathLike[str]]:
    """Check the path of a file to write, and replace the file atomically.

    Yields
    ------
    str
        Where to write: a temporary file, or the path itself for URLs and special files.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    file = check_target(path)
    if file is None or (file.exists() and not file.is_file()):
        yield path
        return
    final = file.resolve()  # the target of a link is replaced, not the link
    # The suffix is kept, because it determines format and compression.
    temporary = final.with_name(f".{uuid.uuid4().hex}.{final.name}")
    try:
        yield str(temporary)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
