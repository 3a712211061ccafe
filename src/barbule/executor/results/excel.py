"""Rows as a sheet of an Excel file.

Owns what a cell of a sheet can hold: numbers are doubles, moments count milliseconds from 1900
and know no zone, texts are bounded. What does not fit is a text, which `insert` reads again.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import errno
import os
import re
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import ConfigurationError, DataError
from barbule.io.text_cells import json_text, json_writer
from barbule.types.durations import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import ibis.expr.schema as sch
    import pyarrow as pa

__all__ = ["write_excel"]

_MAX_TEXT = 32_767  # characters, of Excel's
_FIRST_YEAR = 1901  # of 1900 Excel counts a day too many
_EXACT_INTEGER = 1 << 53
_EXACT_DIGITS = 15
_MAX_DAYS = 10_000  # of a length of time whose milliseconds a double tells
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_excel(
    batches: pa.RecordBatchReader,
    kinds: sch.Schema,
    path: Any,
    *,
    sheet: str = "Sheet1",
    header: bool = True,
) -> None:
    """Write rows as a sheet of an Excel file, a batch at a time.

    Raises
    ------
    ConfigurationError
        When openpyxl is not installed.
    DataError
        When a text is one that a sheet cannot hold.
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
    writers = {name: _cell_writer(kind) for name, kind in kinds.items()}

    def cell(value: Any, name: str, row: int | None) -> Any:
        if not isinstance(value, str):
            return value
        made = WriteOnlyCell(page, _checked(value, name, row))
        made.data_type = "s"  # also of a text that begins as a formula does
        return made

    with _errors_of_lxml(), _closed(page):
        if header:
            page.append([cell(name, name, None) for name in kinds])
        number = 0
        for batch in batches:
            for row in batch.to_pylist():
                page.append(
                    [
                        None if value is None else cell(writers[name](value), name, number)
                        for name, value in row.items()
                    ]
                )
                number += 1
    with _errors_of_lxml():
        book.save(path)


def _checked(text: str, name: str, row: int | None) -> str:
    found = _NO_XML.search(text)
    if found is None and len(text) <= _MAX_TEXT:
        return text
    what = (
        f"a cell of Excel holds at most {_MAX_TEXT:,} characters, and this text has {len(text):,}"
        if found is None
        else f"Excel has no way to write the character U+{ord(found[0]):04X}"
    )
    raise DataError(
        f"{what}.",
        column=name,
        row=row,
        value=text[:100],
        hint="Leave the column out by drop(), shorten or replace its texts, or write "
        "another form: to_parquet() takes all of them.",
    )


@contextlib.contextmanager
def _closed(page: Any) -> Iterator[None]:
    """Have a sheet that has been begun end, also where its rows fail."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            page.close()
        raise


@contextlib.contextmanager
def _errors_of_lxml() -> Iterator[None]:
    """Raise as Python does what lxml says of the disk: by the name of its number."""
    try:
        yield
    except Exception as error:
        name = str(error).removeprefix("IO_")
        number = getattr(errno, name, None) if type(error).__module__ == "lxml.etree" else None
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error


def _cell_writer(kind: dt.DataType) -> Callable[[Any], Any]:
    if isinstance(kind, dt.Array | dt.Struct | dt.Map):
        write = json_writer(kind)
        return lambda value: json_text(value if write is None else write(value))
    if isinstance(kind, dt.Binary):
        return json_writer(kind) or str
    return _plain_cell


def _plain_cell(value: Any) -> Any:
    """Return what a cell takes of a single value: it as it is, or its text."""
    write = next((write for each, write in _BY_TYPE if isinstance(value, each)), None)
    return value if write is None else write(value)


def _whole(value: int) -> Any:
    return value if abs(value) <= _EXACT_INTEGER else str(value)


def _fraction(value: float) -> Any:
    return str(value) if value - value != 0 else value  # NaN and the infinite


def _exact(value: decimal.Decimal) -> Any:
    return value if len(value.as_tuple().digits) <= _EXACT_DIGITS else str(value)


def _moment(value: datetime.datetime) -> Any:
    finer = value.microsecond % 1000 or getattr(value, "nanosecond", 0)
    fits = value.tzinfo is None and value.year >= _FIRST_YEAR and not finer
    return value if fits else value.isoformat()


def _day(value: datetime.date) -> Any:
    return value if value.year >= _FIRST_YEAR else value.isoformat()


def _clock(value: datetime.time) -> Any:
    return value.isoformat() if value.microsecond % 1000 else value


def _length(value: datetime.timedelta) -> Any:
    fits = abs(value.days) < _MAX_DAYS and not value.microseconds % 1000
    return value if fits else duration_text(value)


_BY_TYPE: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (bool, bool),
    (int, _whole),
    (float, _fraction),
    (decimal.Decimal, _exact),
    (datetime.datetime, _moment),  # which are dates, too
    (datetime.date, _day),
    (datetime.time, _clock),
    (datetime.timedelta, _length),
)
