"""The rows that writers of data sets receive.

Defines `ExportRows` and the common parts of all writers: the media columns, file names and
suffixes, and cells as plain Python values.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from barbule.errors import DataError, SchemaError
from barbule.io.output_files import check_folder
from barbule.io.text_cells import json_writer
from barbule.locations import expand_user
from barbule.media.archives import check_member
from barbule.types import declaration
from barbule.values.cells import reader

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterator

    import ibis.expr.schema as sch
    import pyarrow as pa

    from barbule.media.library import MediaLibrary

__all__ = [
    "ExportRows",
    "FileNames",
    "file_ending",
    "json_rows",
    "media_column",
    "media_columns",
    "new_folder",
    "plain_rows",
]


_MAX_NAME_BYTES = 240  # file systems allow 255; a number or a suffix may be appended


@dataclass(frozen=True)
class ExportRows:
    """The result of a query, read in batches.

    Parameters
    ----------
    schema
        The columns, as users see them.
    batches
        Runs the query and yields batches of at most this number of rows.
    """

    schema: sch.Schema
    batches: Callable[[int], Iterator[pa.RecordBatch]]
    library: MediaLibrary


def media_columns(rows: ExportRows) -> list[str]:
    """Return the names of the columns that hold media."""
    return [name for name, kind in rows.schema.items() if declaration(kind).is_media]


def media_column(rows: ExportRows, column: str | None) -> str:
    """Return the name of the media column, `column` or the only one.

    Raises
    ------
    SchemaError
        If there is none, or more than one and none is named.
    """
    columns = media_columns(rows)
    if column is not None and column in columns:
        return column
    names = ", ".join(map(repr, columns)) or "none"
    if column is not None:
        raise SchemaError(
            "it does not hold media files.", column=column, hint=f"Columns that do: {names}."
        )
    if len(columns) != 1:
        raise SchemaError(f"several columns hold media files: {names}.", hint="Give column=.")
    return columns[0]


def plain_rows(rows: ExportRows, size: int = 1024) -> Iterator[dict[str, Any]]:
    """Read rows as dicts; media cells are references."""
    readers = {name: read for name, kind in rows.schema.items() if (read := reader(kind))}
    for batch in rows.batches(size):
        for row in batch.to_pylist():
            for name, read in readers.items():
                if row[name] is not None:
                    row[name] = read(row[name])
            yield row


def json_rows(
    rows: ExportRows, columns: Collection[str], size: int = 1024
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Read rows as plain Arrow values, each with a dict of some columns as JSON values."""
    writers = {name: json_writer(rows.schema[name]) for name in columns}
    for batch in rows.batches(size):
        for row in batch.to_pylist():
            yield (
                row,
                {
                    name: row[name] if row[name] is None or write is None else write(row[name])
                    for name, write in writers.items()
                },
            )


def file_ending(reference: str, path: Path) -> str:
    """Return the file suffix of a media reference, without the dot.

    Examples
    --------
    >>> file_ending("media:" + "0" * 64 + ".png", Path("x.png")), file_ending("a", Path("a"))
    ('png', 'bin')
    """
    return path.suffix[1:].lower() or Path(reference.partition("?")[0]).suffix[1:].lower() or "bin"


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Create a folder to write into; after a failure it is empty.

    Raises
    ------
    DataError
        If it exists and is not empty.
    """
    target = expand_user(path)
    check_folder(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(
            f"{str(target)!r} already exists and is not an empty folder.",
            hint="Pass a new folder: existing files are never overwritten.",
        )
    existed = target.exists()
    target.mkdir(parents=True, exist_ok=True)
    try:
        yield target
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        if existed:
            target.mkdir(exist_ok=True)
        raise


class FileNames:
    """Unique names of files that are written into one folder.

    Parameters
    ----------
    target
        The name of the folder in messages.
    reserved
        Names of other files, in any subfolder, that must not be used.

    Examples
    --------
    >>> names = FileNames("out")
    >>> names.of(None, "/photos/cat.jpg", Path("/photos/cat.jpg"), 0)
    'cat.jpg'
    >>> names.of(None, "/others/cat.jpg", Path("/others/cat.jpg"), 1)
    'cat-1.jpg'
    """

    def __init__(self, target: str, reserved: Collection[str] = ()) -> None:
        self._target = target
        self._reserved = frozenset(reserved)
        self._used: set[str] = set()
        self._folders: set[str] = set()

    def of(self, requested: object, reference: str, path: Path, number: int) -> str:
        """Return the file name of a row: the requested one, that of its file, or the row number.

        Raises
        ------
        DataError
            If the requested name is not a file name, or that of a folder with other files.
        """
        suffix = file_ending(reference, path)
        if requested is not None:
            name = self._normalized(str(requested), number)
            if "." not in name.rpartition("/")[2]:
                name = f"{name}.{suffix}"
        elif ":" in reference[:12]:
            name = f"{number:08d}.{suffix}"
        else:
            name = Path(reference).name
        folder, slash, last = name.rpartition("/")
        stem, dot, last = last.rpartition(".") if "." in last else (last, "", "")
        while name.lower() in self._used or name.rpartition("/")[2].lower() in self._reserved:
            stem = f"{stem}-{number}"
            name = f"{folder}{slash}{stem}{dot}{last}"
        self._register(name, number)
        return name

    def _normalized(self, requested: str, number: int) -> str:
        """Return a requested name in normal form: "a//b" and "./a/b" become "a/b"."""
        check_member(requested, f"row {number} for {self._target}")
        name = str(PurePosixPath(requested))
        too_long = any(
            len(part.encode(errors="replace")) > _MAX_NAME_BYTES for part in name.split("/")
        )
        if name == "." or requested.endswith("/") or too_long or not _is_encodable(name):
            raise DataError(
                "this is not a valid file name.",
                row=number,
                value=requested,
                hint=f"A name is a string of at most {_MAX_NAME_BYTES} bytes between its slashes.",
            )
        return name

    def _register(self, name: str, number: int) -> None:
        parts = name.lower().split("/")
        folders = {"/".join(parts[:end]) for end in range(1, len(parts))}
        if folders & self._used or name.lower() in self._folders:
            raise DataError(
                "this is the name of both a file and a folder that contains other files.",
                row=number,
                value=name,
                hint="Give it another name.",
            )
        self._folders |= folders
        self._used.add(name.lower())


def _is_encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
