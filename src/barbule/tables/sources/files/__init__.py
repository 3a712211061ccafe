"""Files as sources: paths, globs and URLs of Parquet, CSV, JSON, Excel and Arrow files.

Owns which files a path names and which format each has; each format has its own module.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from barbule.errors import BarbuleError, DataError
from barbule.io.input_files import COMPRESSIONS, File, find_files
from barbule.tables.sources.files.arrow import read_feather, read_parquet
from barbule.tables.sources.files.delimited import read_csv, read_tsv
from barbule.tables.sources.files.excel import read_excel
from barbule.tables.sources.files.json import read_json, read_lines
from barbule.tables.sources.records import as_mappings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from barbule.tables.sources.target import Chunk, Target

    # Each yields first, before any row, an empty chunk that declares the columns if they are known.
    Reader = Callable[[File, int], Generator[Chunk]]

__all__ = ["is_file_name", "read_files"]

_READERS: dict[str, Reader] = {
    "parquet": read_parquet,
    "pq": read_parquet,
    "csv": read_csv,
    "tsv": read_tsv,
    "json": read_json,
    "jsonl": read_lines,
    "ndjson": read_lines,
    "xlsx": read_excel,
    "xlsm": read_excel,
    "feather": read_feather,
    "arrow": read_feather,
    "ipc": read_feather,
}
_PREVIEW_ROWS = 100  # rows of each of many files, for their columns
_COMPRESSIBLE = {"csv", "tsv", "json", "jsonl", "ndjson"}


def is_file_name(value: object) -> bool:
    """Whether a value passed to insert can only be the name of files."""
    if isinstance(value, os.PathLike):
        return True
    endings = value.lower().split(".")[1:] if isinstance(value, str) else []
    return not _READERS.keys().isdisjoint(endings[-2:])


def read_files(
    sources: Sequence[str | os.PathLike[str]], target: Target, size: int
) -> Iterator[Chunk]:
    r"""Read the files that paths, globs or URLs name; those of a glob in name order.

    Raises
    ------
    DataError
        If there is no such file, its format is unknown, it cannot be read, or one of the files has
        a column that the table does not have.

    Examples
    --------
    >>> import ibis
    >>> from pathlib import Path
    >>> from barbule.tables.sources.target import Target
    >>> _ = Path("films.csv").write_text("name,year\nUp,2009\n")
    >>> target = Target(ibis.schema({"name": "string", "year": "int64"}), "films", None, {})
    >>> [chunk.rows["name"].to_pylist() for chunk in read_files(["films.csv"], target, 10)]
    [[], ['Up']]
    """
    files = [file for source in sources for file in find_files(os.fspath(source), target.library)]
    readers = [(file, _reader(file)) for file in files]
    if len(readers) > 1:  # the columns of all, before the rows of any
        for file, reader in readers:
            with _naming_file(file), contextlib.closing(reader(file, _PREVIEW_ROWS)) as chunks:
                _check_columns(next(chunks, None), target)
    for file, reader in readers:
        yield from _read_chunks(file, reader, size)


def _read_chunks(file: File, reader: Reader, size: int) -> Iterator[Chunk]:
    with contextlib.closing(reader(file, size)) as chunks:
        while True:
            with _naming_file(file):
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk


def _check_columns(chunk: Chunk | None, target: Target) -> None:
    if chunk is None:
        return
    if isinstance(chunk.rows, list):
        target.check_keys(as_mappings(chunk.rows))
    else:
        target.check_names(chunk.rows.column_names)


def _reader(file: File) -> Reader:
    suffixes = file.name.lower().split(".")[1:]
    compressed = bool(suffixes) and suffixes[-1] in COMPRESSIONS
    suffix = (suffixes[-2:-1] if compressed else suffixes[-1:]) or [""]
    if suffix[0] in _READERS and not (compressed and suffix[0] not in _COMPRESSIBLE):
        return _READERS[suffix[0]]
    suffixes_read = ", ".join(f".{suffix_name}" for suffix_name in _READERS)
    raise DataError(
        f"the file name {file.label!r} has no supported suffix.",
        hint=f"Supported suffixes are {suffixes_read}; text formats may also end with "
        f"{', '.join(f'.{compression}' for compression in COMPRESSIONS)} after that.",
    )


@contextlib.contextmanager
def _naming_file(file: File) -> Iterator[None]:
    """Convert the errors of readers to errors that name the file."""
    import csv
    import zipfile
    import zlib

    import pyarrow as pa

    try:
        yield
    except BarbuleError as error:
        if file.label not in error.message:
            error.message = f"{error.message.rstrip('.')} (in {file.label!r})."
        raise
    except FileNotFoundError as error:
        raise file.missing() from error
    except PermissionError as error:
        raise DataError(
            f"the file {file.label!r} cannot be read: permission denied.",
            hint="Check its permissions.",
        ) from error
    except UnicodeDecodeError as error:
        raise file.not_utf8() from error
    except (
        pa.ArrowException, OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile,
        zlib.error, csv.Error, RecursionError,
    ) as error:  # fmt: skip
        reason = str(error).strip().rstrip(".").splitlines()[0] if str(error).strip() else "it ends"
        raise DataError(
            f"the file {file.label!r} cannot be read: {reason}.",
            hint="It may be truncated or damaged, or in another format than its suffix.",
        ) from error
