"""Folders of media files, read as rows and written from rows.

Defines the columns that describe a file, and the names under which media are written.
"""

from __future__ import annotations

import datetime
import functools
import glob
import itertools
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import DataError, SchemaError
from barbule.io.containment import DataSetRoot
from barbule.io.export_rows import FileNames, json_rows, media_column, new_folder
from barbule.io.file_types import default_column_name, kind_of_file, media_type
from barbule.io.formats.folder_metadata import FILE_NAME, METADATA, FolderMetadata
from barbule.io.input_files import remote_files
from barbule.io.lazy_rows import Rows
from barbule.json_codec import to_readable
from barbule.locations import expand_user
from barbule.types import Media, Timestamp, declaration, dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from barbule.io.export_rows import ExportRows
    from barbule.media.library import MediaLibrary

__all__ = ["read_folder", "write_folder"]

_WILDCARD = re.compile(r"[*?\[]")
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


def read_folder(
    pattern: str | os.PathLike[str],
    kind: object = None,
    column: str | None = None,
    root: str | os.PathLike[str] | None = None,
    *,
    library: MediaLibrary | None = None,
) -> Rows:
    """Read the files of a folder or pattern as rows; see `Session.read_folder`."""
    source = os.fspath(pattern)
    containment = None if _URL.match(source) else _containment(source, root)
    list_files: Callable[[str], Iterator[_File]] = (
        functools.partial(_remote_files, library=library)
        if containment is None
        else functools.partial(_local_files, containment=containment)
    )
    media_kind = _media_kind(source, kind, list_files)
    name = column or default_column_name(media_kind)
    file_columns = {"path": dt.string, "name": dt.string, "size": dt.int64}
    file_columns |= {"modified": Timestamp("UTC"), "media_type": dt.string}
    if name in file_columns:
        raise SchemaError(
            "this column describes the file.", column=name, hint="Give column= another name."
        )

    folder = None if _URL.match(source) else expand_user(source)
    metadata = FolderMetadata(
        folder if folder is not None and folder.is_dir() else None, containment
    )
    metadata_columns = metadata.columns()
    if name in metadata_columns:
        raise SchemaError(
            f"{METADATA} has a column with this name.",
            column=name,
            hint="Give column= another name for the files.",
        )

    def read() -> Iterator[tuple[str | None, dict[str, Any]]]:
        for path, size, modified in list_files(source):
            file_cells = {
                "path": path,
                "name": re.split(r"[/\\]", path)[-1],
                "size": size,
                "modified": modified,
                "media_type": media_type(path),
            }
            yield None, {name: path, **file_cells, **metadata.by_path.get(path, {})}
        for record in metadata.unassigned:
            yield None, record

    return Rows(
        {name: media_kind, **file_columns, **metadata_columns},
        read,
        f"the files {source!r}",
        "json",
    )


def _media_kind(
    source: str, kind: object, list_files: Callable[[str], Iterator[_File]]
) -> type[Media] | dt.DataType:
    """Return the type of the media column: the requested one, or that of all files."""
    if kind is not None:
        media_kind = dtype(kind)
        if not declaration(media_kind).is_media:
            raise SchemaError(
                "files must be images, audio, videos or documents.",
                value=kind,
                hint="kind=bb.Image, bb.Audio, bb.Video or bb.Document.",
            )
        return media_kind
    counts = Counter(kind_of_file(path) for path, _, _ in list_files(source))
    if not counts:
        raise DataError(
            f"no file matches {source!r}.", hint="Check the pattern and the working directory."
        )
    if len(counts) == 1 and (only := next(iter(counts))) is not None:
        return only
    summary = ", ".join(
        f"{count} of type {media_class.__name__ if media_class else 'unknown'}"
        for media_class, count in counts.items()
    )
    raise DataError(
        f"the files of {source!r} are of several types: {summary}.",
        hint='Narrow the pattern ("photos/**/*.jpg"), or pass their type: kind=bb.Image.',
    )


_File = tuple[str, int | None, datetime.datetime | None]


def _containment(source: str, root: str | os.PathLike[str] | None) -> DataSetRoot:
    """Return the root of a folder or pattern: the part of the path without wildcards."""
    path = expand_user(source)
    if not path.exists():
        fixed = itertools.takewhile(lambda part: not _WILDCARD.search(part), path.parts)
        path = Path(*fixed)
    return DataSetRoot(path, f"the folder {str(path)!r}", root)


def _local_files(source: str, containment: DataSetRoot) -> Iterator[_File]:
    path = expand_user(source)
    if path.is_file():
        names: Iterator[str] = iter([str(path)])
    elif path.is_dir():
        names = _walk(path)
    elif path.exists():
        raise DataError(
            f"{source!r} is not a regular file (it is a device, a pipe or a socket) and is not "
            "read.",
            hint="Write its content to a file first.",
        )
    elif _WILDCARD.search(source):
        names = iter(sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207 - "**", absolute
    else:
        raise DataError(f"there is no folder or file {source!r}.", hint="Check the path.")
    for name in names:
        file = Path(name).absolute()
        if file.is_file():
            if file != path.absolute():  # a file that was given by its own path is allowed
                containment.check(file)
            state = file.stat()
            modified = datetime.datetime.fromtimestamp(state.st_mtime, datetime.UTC)
            yield str(file), state.st_size, modified


def _walk(folder: Path) -> Iterator[str]:
    """List the files of a folder and its subfolders in order, without hidden ones."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            folder_name for folder_name in folders if not folder_name.startswith(".")
        )
        for name in sorted(names):
            if not name.startswith(".") and name != METADATA:
                yield os.path.join(parent, name)  # noqa: PTH118 - for many files


def _remote_files(source: str, library: MediaLibrary | None) -> Iterator[_File]:
    for file, info in remote_files(source, library):
        timestamp = next(
            (info[k] for k in ("LastModified", "last_modified", "created") if k in info), 0
        )
        modified = timestamp if isinstance(timestamp, datetime.datetime) else None
        yield file.label, info.get("size"), modified


def write_folder(
    rows: ExportRows, folder: str | os.PathLike[str], column: str | None, name: str | None
) -> int:
    """Write the media of a column into a folder, and the other columns as metadata.

    Returns
    -------
    int
        The number of files that were written.
    """
    media_name = media_column(rows, column)
    with new_folder(folder) as target:
        return _write_folder(rows, target, media_name, name)


def _write_folder(rows: ExportRows, target: Path, media_name: str, name: str | None) -> int:
    names, count = FileNames(str(target), {METADATA}), 0
    other_columns = [column for column in rows.schema.names if column != media_name]
    with (target / METADATA).open("w", encoding="utf-8") as metadata:
        for number, (cells, row) in enumerate(json_rows(rows, other_columns)):
            reference = cells[media_name]
            record = row
            if reference is not None:
                source = rows.library.path(reference)
                requested = cells[name] if name else None
                file_name = names.of(requested, reference, source, number)
                (target / file_name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target / file_name)
                record = {FILE_NAME: file_name, **row}
                count += 1
            metadata.write(to_readable(record) + "\n")
    return count
