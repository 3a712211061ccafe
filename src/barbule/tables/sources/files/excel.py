"""Excel files: the first sheet of a workbook."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from barbule.errors import DataError, UnsupportedError
from barbule.media.archives import check_zip
from barbule.tables.sources.target import Chunk

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from barbule.io.input_files import File

__all__ = ["read_excel"]


def read_excel(file: File, size: int) -> Generator[Chunk]:
    """Read the first sheet of a workbook; its first row names the columns.

    Formulas count with the values that were stored with them; rows without any value are
    passed over. Texts in columns that hold none are parsed, as those of CSV files are.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise UnsupportedError(
            "Excel files need the package openpyxl.", hint="pip install 'barbule[excel]'."
        ) from error
    import pyarrow as pa

    with file.open_python() as stream:
        check_zip(stream, file.label)
        stream.seek(0)
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        rows = iter(book.worksheets[0].iter_rows(values_only=True))
        names = _header(next(rows, ()))
        yield Chunk(pa.table([pa.nulls(0)] * len(names), names=names), "arrow", origin=file.label)
        records = (_record(names, row) for row in rows if any(cell is not None for cell in row))
        while chunk := list(itertools.islice(records, size)):
            yield Chunk(chunk, "cells", file.label)


def _header(cells: Sequence[Any]) -> list[str]:
    names = list(cells)
    while names and names[-1] is None:
        names.pop()
    if not names or None in names:
        raise DataError(
            "the first row of the first sheet does not name all columns.",
            hint="Write the names of the columns into it, one above each column.",
        )
    return [str(name) for name in names]


def _record(names: list[str], row: Sequence[Any]) -> dict[str, Any]:
    extra = next((cell for cell in row[len(names) :] if cell is not None), None)
    if extra is not None:
        raise DataError(
            "a row has a value in a column that the first row does not name.",
            value=extra,
            hint="Name the column, or delete the value.",
        )
    return dict(zip(names, row, strict=False))
