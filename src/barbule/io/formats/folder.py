"""Files in folders: as rows, and written from rows.

Owns what is told of each file beside its content, and the names under which media are written.
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
from barbule.io.export_rows import Names, json_rows, media_column, new_folder
from barbule.io.file_types import kind_of, media_type, noun
from barbule.io.formats.folder_metadata import FILE_NAME, METADATA, FolderMetadata
from barbule.io.lazy_rows import Rows
from barbule.io.paths import remote_files
from barbule.io.text_cells import json_text
from barbule.locations import expanded
from barbule.types import Media, Timestamp, dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.io.export_rows import Exported

__all__ = ["read_folder", "write_folder"]

_MAGIC = re.compile(r"[*?\[]")
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


def read_folder(
    pattern: str | os.PathLike[str],
    kind: Any = None,
    column: str | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Rows:
    """Make rows of the files that a folder or a pattern means; see `Session.read_folder`."""
    source = os.fspath(pattern)
    reach = None if _URL.match(source) else _reach(source, root)
    listed = _remote if reach is None else functools.partial(_local, reach=reach)
    chosen = _kind(source, kind, listed)
    name = column or noun(chosen)
    facts = {"path": dt.string, "name": dt.string, "size": dt.int64}
    facts |= {"modified": Timestamp("UTC"), "media_type": dt.string}
    if name in facts:
        raise SchemaError(
            "this column tells of the file.", column=name, hint="Give column= another name."
        )

    folder = None if _URL.match(source) else expanded(source)
    said = FolderMetadata(folder if folder is not None and folder.is_dir() else None, reach)
    more = said.columns()
    if name in more:
        raise SchemaError(
            f"{METADATA} has a column of this name.",
            column=name,
            hint="Give column= another name for the files.",
        )

    def read() -> Iterator[tuple[str | None, dict[str, Any]]]:
        for path, size, modified in listed(source):
            told = {
                "path": path,
                "name": re.split(r"[/\\]", path)[-1],
                "size": size,
                "modified": modified,
                "media_type": media_type(path),
            }
            yield None, {name: path, **told, **said.of.get(path, {})}
        for record in said.rest:
            yield None, record

    return Rows({name: chosen, **facts, **more}, read, f"the files {source!r}", "json")


def _kind(source: str, kind: Any, listed: Any) -> type[Media] | dt.DataType:
    """Return the type of the media column: the given one, or what all files are."""
    if kind is not None:
        found = dtype(kind)
        if not isinstance(found, Media):
            raise SchemaError(
                "files are images, sounds, videos or documents.",
                value=kind,
                hint="kind=bb.Image, bb.Audio, bb.Video or bb.Document.",
            )
        return found
    seen = Counter(kind_of(path) for path, _, _ in listed(source))
    if not seen:
        raise DataError(
            f"no file matches {source!r}.", hint="Check the pattern and the working directory."
        )
    if len(seen) == 1 and (only := next(iter(seen))) is not None:
        return only
    told = ", ".join(
        f"{count} of type {each.__name__ if each else 'unknown'}" for each, count in seen.items()
    )
    raise DataError(
        f"the files of {source!r} are of several types: {told}.",
        hint='Narrow the pattern ("photos/**/*.jpg"), or say what they are: kind=bb.Image.',
    )


_File = tuple[str, int | None, datetime.datetime | None]


def _reach(source: str, root: str | os.PathLike[str] | None) -> DataSetRoot:
    """Return whose files a folder or pattern may lead to: those below what has no wildcard."""
    path = expanded(source)
    if not path.exists():
        fixed = itertools.takewhile(lambda part: not _MAGIC.search(part), path.parts)
        path = Path(*fixed)
    return DataSetRoot(path, f"the folder {str(path)!r}", root)


def _local(source: str, reach: DataSetRoot) -> Iterator[_File]:
    path = expanded(source)
    if path.is_file():
        found: Iterator[str] = iter([str(path)])
    elif path.is_dir():
        found = _walk(path)
    elif path.exists():
        raise DataError(
            f"{source!r} is no regular file (a device, a pipe or a socket), and is not read.",
            hint="Write what it gives into a file first.",
        )
    elif _MAGIC.search(source):
        found = iter(sorted(glob.glob(str(path), recursive=True)))  # noqa: PTH207 - "**", absolute
    else:
        raise DataError(f"there is no folder or file {source!r}.", hint="Check the path.")
    for each in found:
        file = Path(each).absolute()
        if file.is_file():
            if file != path.absolute():  # which was named as it is
                reach.check(file)
            state = file.stat()
            moment = datetime.datetime.fromtimestamp(state.st_mtime, datetime.UTC)
            yield str(file), state.st_size, moment


def _walk(folder: Path) -> Iterator[str]:
    """List the files of a folder and those below, in order; hidden ones are left out."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name != METADATA:
                yield os.path.join(where, name)  # noqa: PTH118 - for many files


def _remote(source: str) -> Iterator[_File]:
    for file, info in remote_files(source):
        moment = next(
            (info[k] for k in ("LastModified", "last_modified", "created") if k in info), 0
        )
        known = moment if isinstance(moment, datetime.datetime) else None
        yield file.shown, info.get("size"), known


def write_folder(
    rows: Exported, folder: str | os.PathLike[str], column: str | None, name: str | None
) -> int:
    """Write the media of a column into a folder, and what else rows hold beside them.

    Returns
    -------
    int
        How many files were written.
    """
    chosen = media_column(rows, column)
    with new_folder(folder) as target:
        return _write_folder(rows, target, chosen, name)


def _write_folder(rows: Exported, target: Path, chosen: str, name: str | None) -> int:
    names, count = Names(str(target), {METADATA}), 0
    others = [each for each in rows.schema.names if each != chosen]
    with (target / METADATA).open("w", encoding="utf-8") as metadata:
        for number, (cells, row) in enumerate(json_rows(rows, others)):
            reference = cells[chosen]
            named = row
            if reference is not None:
                source = rows.library.path(reference)
                given = cells[name] if name else None
                wanted = names.of(given, reference, source, number)
                (target / wanted).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target / wanted)
                named = {FILE_NAME: wanted, **row}
                count += 1
            metadata.write(json_text(named) + "\n")
    return count
