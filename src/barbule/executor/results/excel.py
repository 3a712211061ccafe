"""Rows as a sheet of an Excel file.

Owns what a cell of a sheet can hold: numbers are doubles, timestamps count milliseconds from 1900
and have no time zone, the length of strings is limited. Other values become strings, which `insert`
reads again.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import errno
import os
import re
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError, DataError
from barbule.io.text_cells import json_writer
from barbule.json_codec import to_readable
from barbule.types import declaration
from barbule.types.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import pyarrow as pa
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet as Worksheet

__all__ = ["write_excel"]

_MAX_CHARACTERS = 32_767
_FIRST_YEAR = 1901  # Excel has a day too many in 1900
_MAX_EXACT_INTEGER = 1 << 53
_MAX_EXACT_DIGITS = 15
_MAX_DAYS = 10_000  # of a duration whose milliseconds are exact in a double
_INVALID_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_excel(
    batches: pa.RecordBatchReader,
    schema: sch.Schema,
    path: str | PathLike[str],
    *,
    sheet: str = "Sheet1",
    header: bool = True,
) -> None:
    """Write rows as a sheet of an Excel file, a batch at a time.

    Raises
    ------
    ConfigurationError
        If openpyxl is not installed.
    DataError
        If a sheet cannot hold a string.
    """
    try:
        from openpyxl import Workbook
        from openpyxl.cell import WriteOnlyCell
    except ImportError as error:
        raise ConfigurationError(
            "writing Excel files needs openpyxl.", hint="pip install 'barbule[excel]'."
        ) from error
    book = Workbook(write_only=True)
    page = book.create_sheet(sheet)
    writers = {name: _cell_writer(dtype) for name, dtype in schema.items()}

    def cell(value: object, name: str, row: int | None) -> object:
        if not isinstance(value, str):
            return value
        text_cell = WriteOnlyCell(page, _checked(value, name, row))
        text_cell.data_type = "s"  # also of a string that starts like a formula
        return text_cell

    with _raising_os_errors(), _closing_on_error(page):
        if header:
            page.append([cell(name, name, None) for name in schema])
        row_number = 0
        for batch in batches:
            for row in batch.to_pylist():
                page.append(
                    [
                        None if value is None else cell(writers[name](value), name, row_number)
                        for name, value in row.items()
                    ]
                )
                row_number += 1
    with _raising_os_errors():
        book.save(path)


def _checked(text: str, name: str, row: int | None) -> str:
    invalid = _INVALID_IN_XML.search(text)
    if invalid is None and len(text) <= _MAX_CHARACTERS:
        return text
    problem = (
        f"an Excel cell holds at most {_MAX_CHARACTERS:,} characters, and this string has "
        f"{len(text):,}"
        if invalid is None
        else f"Excel cannot store the character U+{ord(invalid[0]):04X}"
    )
    raise DataError(
        f"{problem}.",
        column=name,
        row=row,
        value=text[:100],
        hint="Remove the column with drop(), shorten or replace its strings, or write another "
        "format: to_parquet() stores any string.",
    )


@contextlib.contextmanager
def _closing_on_error(page: Worksheet) -> Iterator[None]:
    """Close a sheet if its rows fail, so that its temporary file is removed."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            page.close()
        raise


@contextlib.contextmanager
def _raising_os_errors() -> Iterator[None]:
    """Raise disk errors, which lxml raises with the name of their number, as `OSError`."""
    try:
        yield
    except Exception as error:
        name = str(error).removeprefix("IO_")
        number = getattr(errno, name, None) if type(error).__module__ == "lxml.etree" else None
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error


def _cell_writer(dtype: dt.DataType) -> Callable[[Any], Any]:
    declared = declaration(dtype)
    if declared.is_nested:
        write = json_writer(dtype)
        return lambda value: to_readable(value if write is None else write(value))
    if declared.display == "bytes":
        return json_writer(dtype) or str
    return _plain_cell


def _plain_cell(value: object) -> object:
    """Return the cell of a single value: the value, or its text."""
    write = next((write for type_, write in _WRITERS if isinstance(value, type_)), None)
    return value if write is None else write(value)


def _integer(value: int) -> int | str:
    return value if abs(value) <= _MAX_EXACT_INTEGER else str(value)


def _float(value: float) -> float | str:
    return str(value) if value - value != 0 else value  # NaN and the infinite


def _decimal(value: decimal.Decimal) -> decimal.Decimal | str:
    return value if len(value.as_tuple().digits) <= _MAX_EXACT_DIGITS else str(value)


def _timestamp(value: datetime.datetime) -> datetime.datetime | str:
    has_microseconds = value.microsecond % 1000 or getattr(value, "nanosecond", 0)
    fits = value.tzinfo is None and value.year >= _FIRST_YEAR and not has_microseconds
    return value if fits else value.isoformat()


def _date(value: datetime.date) -> datetime.date | str:
    return value if value.year >= _FIRST_YEAR else value.isoformat()


def _time(value: datetime.time) -> datetime.time | str:
    return value.isoformat() if value.microsecond % 1000 else value


def _duration(value: datetime.timedelta) -> datetime.timedelta | str:
    fits = abs(value.days) < _MAX_DAYS and not value.microseconds % 1000
    return value if fits else duration_text(value)


_WRITERS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (bool, bool),
    (int, _integer),
    (float, _float),
    (decimal.Decimal, _decimal),
    (datetime.datetime, _timestamp),  # which are dates, too
    (datetime.date, _date),
    (datetime.time, _time),
    (datetime.timedelta, _duration),
)
