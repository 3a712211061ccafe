"""CSV and TSV files.

Owns their parsing into strings; the types of the table determine how these are converted.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from barbule.errors import DataError
from barbule.tables.sources.arrow_streams import rechunked
from barbule.tables.sources.target import Chunk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import pyarrow as pa

    from barbule.io.input_files import File

__all__ = ["read_csv", "read_tsv"]

_BLOCK_BYTES = 8 << 20  # bytes; the size limit of a row


def read_csv(file: File, size: int) -> Generator[Chunk]:
    """Read a CSV file whose first line names the columns; an empty field is missing.

    Empty lines are skipped, except in a file with one column.
    """
    return _read(file, size, ",")


def read_tsv(file: File, size: int) -> Generator[Chunk]:
    """Read a file of values that are separated by tabs."""
    return _read(file, size, "\t")


def _read(file: File, size: int, delimiter: str) -> Generator[Chunk]:
    import pyarrow as pa

    names = _header(file, delimiter)
    texts = pa.schema([(name, pa.string()) for name in names])
    yield Chunk(texts.empty_table(), "texts", file.label)
    try:
        with file.open_plain() as stream:
            for rows in rechunked(_tables(stream, texts, delimiter), size):
                yield Chunk(rows, "texts", file.label)
    except pa.ArrowInvalid as error:
        raise _bad_line_error(file, delimiter, len(names), error) from error


def _header(file: File, delimiter: str) -> list[str]:
    with file.open_plain() as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        names = next(csv.reader(_bounded_lines(lines), delimiter=delimiter), None)
    if not names:
        raise DataError(
            "the file is empty.",
            hint="The first line must contain the column names; rows are optional.",
        )
    if blank := [position for position, name in enumerate(names) if not name.strip()]:
        raise DataError(f"column {blank[0] + 1} has no name in the first line.", hint="Add a name.")
    return names


def _bounded_lines(lines: io.TextIOWrapper) -> Iterator[str]:
    """Yield the lines of a file; a line above the row limit is an error."""
    while line := lines.readline(_BLOCK_BYTES):
        if len(line) == _BLOCK_BYTES:
            raise DataError(
                f"the first line has more than {_BLOCK_BYTES:,} characters.",
                hint="The first line must contain only the column names.",
            )
        yield line


def _tables(stream: pa.NativeFile, texts: pa.Schema, delimiter: str) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.csv as pc

    if len(set(texts.names)) < len(texts.names):
        return  # which the preceding empty table declares
    reading = pc.ReadOptions(block_size=_BLOCK_BYTES)
    parsing = pc.ParseOptions(
        delimiter=delimiter,
        newlines_in_values=True,
        # In a file with one column an empty line is a row without a value.
        ignore_empty_lines=len(texts) > 1,
    )
    converting = pc.ConvertOptions(
        column_types=texts,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    try:
        reader = pc.open_csv(stream, reading, parsing, converting)
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):  # the file has only a first line
            return
        raise
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _bad_line_error(file: File, delimiter: str, width: int, error: Exception) -> Exception:
    """Return an error that names the unreadable line, which Arrow does not report."""
    import contextlib

    with file.open_plain() as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        rows = csv.reader(lines, delimiter=delimiter)
        try:
            with contextlib.suppress(csv.Error):
                for row in rows:
                    if row and len(row) != width:
                        return DataError(
                            f"line {rows.line_num} of {file.label!r} has {len(row)} fields, but "
                            f"the first line has {width}.",
                            value=delimiter.join(row),
                            hint="Correct the line, or quote the field that holds the separator.",
                        )
        except UnicodeDecodeError:
            return file.not_utf8()
    return error
