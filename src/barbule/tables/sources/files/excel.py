"""Excel files: the first sheet of a workbook."""

from __future__ import annotations

import io
import zipfile
from typing import IO, TYPE_CHECKING, Any

from barbule.errors import DataError, UnsupportedError
from barbule.io.bounds.extent import Extent
from barbule.media.archives import check_zip
from barbule.tables.sources.target import Chunk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from barbule.io.input_files import File

__all__ = ["read_excel"]

_MAX_TAGS, _TAG_RATIO = 5_000_000, 5
_MAX_CELLS, _CELL_RATIO = 50_000_000, 50  # empty cells need little memory
_ROW_WEIGHT = 10  # cells, as the base cost of a row
_LIGHT_PARTS = ("xl/worksheets/", "xl/sharedStrings")  # XML elements, as the base cost of a cell
_HEAVY_TAG = 25  # times as much takes one of styles
_MAX_ROWS = 1 << 20
_READ_BYTES = 1 << 20
_MAX_CHUNK_CHARACTERS = 64 << 20  # characters


def read_excel(file: File, size: int) -> Generator[Chunk]:
    """Read the first sheet of a workbook; its first row names the columns.

    Formulas count with their stored values; rows without any value are skipped. Strings in columns
    of other types are parsed, as in CSV files.
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
        file_size = stream.seek(0, io.SEEK_END)
        _refuse_tags(stream, Extent(file_size, file.label, max_values=_MAX_TAGS, ratio=_TAG_RATIO))
        stream.seek(0)
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        extent = Extent(file_size, file.label, max_values=_MAX_CELLS, ratio=_CELL_RATIO)
        rows = _counted(book.worksheets[0].iter_rows(values_only=True), extent)
        names = _header(next(rows, ()))
        yield Chunk(pa.table([pa.nulls(0)] * len(names), names=names), "arrow", origin=file.label)
        records = (_record(names, row) for row in rows if any(cell is not None for cell in row))
        for chunk in _chunks(records, size, extent):
            yield Chunk(chunk, "cells", file.label)


def _refuse_tags(stream: IO[bytes], extent: Extent) -> None:
    """Refuse a workbook with far more XML elements than its size allows."""
    with zipfile.ZipFile(stream) as archive:
        for part in archive.infolist():
            with archive.open(part) as source:
                weight = 1 if part.filename.startswith(_LIGHT_PARTS) else _HEAVY_TAG
                while data := source.read(_READ_BYTES):
                    extent.add(values=weight * data.count(b"<"))


def _counted(rows: Iterable[tuple[Any, ...]], extent: Extent) -> Iterator[tuple[Any, ...]]:
    """Count cells, including those that are not in the file: before a far one, and in gaps."""
    for number, row in enumerate(rows, 1):
        if number > _MAX_ROWS:
            raise DataError(
                f"the sheet has a row after row {_MAX_ROWS:,}, the maximum.",
                hint="It is damaged or malicious: save it again.",
            )
        extent.add(values=len(row) + _ROW_WEIGHT)
        yield row


def _chunks(
    records: Iterator[dict[str, Any]], size: int, extent: Extent
) -> Iterator[list[dict[str, Any]]]:
    """Split rows into chunks; cells may share a long string, which each of them gets."""
    rows: list[dict[str, Any]] = []
    weight = 0
    for record in records:
        wide = sum(len(cell) for cell in record.values() if isinstance(cell, str))
        extent.add(decoded=wide)
        rows.append(record)
        weight += wide
        if len(rows) >= size or weight > _MAX_CHUNK_CHARACTERS:
            yield rows
            rows, weight = [], 0
    if rows:
        yield rows


def _header(cells: Sequence[Any]) -> list[str]:
    names = list(cells)
    while names and names[-1] is None:
        names.pop()
    if not names or None in names:
        raise DataError(
            "the first row of the first sheet does not have a name for each column.",
            hint="Write a column name into the first row above each column.",
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
