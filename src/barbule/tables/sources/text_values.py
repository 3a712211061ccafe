"""Values as JSON files and spreadsheets hold them, converted to Python values.

Owns the inverse of `io.text_cells`: bytes in base64, keys of maps as strings, and in sheets
strings for values that a cell cannot hold.
"""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any, Literal

import ibis.expr.datatypes as dt

from barbule.errors import DataError
from barbule.types import declaration
from barbule.types.declarations.nested import CellForm, optional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Reader = Callable[[Any], Any]

__all__ = ["read_column", "read_value", "text_reader"]

_HINT = "Correct the file, or give the column another type."


def read_column(
    values: Sequence[Any], dtype: dt.DataType, form: Literal["json", "cells"]
) -> Sequence[Any]:
    """Read the values of a column, from JSON or from the cells of a sheet.

    Raises
    ------
    DataError
        If a string is not a valid `dtype`; the error names its row and shows it.

    Examples
    --------
    >>> read_column(["aG9va3M=", None], dt.binary, "json")
    [b'hooks', None]
    """
    read = _FORM.converter(dtype) if form == "json" else _cell_reader(dtype)
    if read is None:
        return values
    return [read_value(value, row, dtype, read) for row, value in enumerate(values)]


def read_value(value: Any, row: int, dtype: dt.DataType, read: Reader) -> Any:
    """Read one value; an error names it."""
    if value is None:
        return None
    try:
        return read(value)
    except (ValueError, ArithmeticError, TypeError) as error:
        raise DataError(
            f"this is not a valid {dtype}: {error}."
            if str(error)
            else f"this is not a valid {dtype}.",
            row=row,
            value=value,
            hint=_HINT,
        ) from error


def text_reader(dtype: dt.DataType) -> Reader | None:
    """Return the parser of strings, as in CSV; None if strings are values."""
    declared = declaration(dtype)
    parse = declared.parse
    if parse is None or not declared.is_nested:
        return None if parse is None else lambda text: parse(text.strip())
    inner = _FORM.converter(dtype)
    return lambda text: optional(inner, parse(text))


def _key_reader(dtype: dt.DataType) -> Reader | None:
    """Return the parser of the keys of a map, which are strings in JSON."""
    read = text_reader(dtype)
    if isinstance(dtype, dt.Timestamp):
        read = datetime.datetime.fromisoformat
    return read and (lambda key: read(key) if isinstance(key, str) else key)


def _cell_reader(dtype: dt.DataType) -> Reader | None:
    """Return the converter of spreadsheet cells, which parses strings; None for strings."""
    read = json.loads if declaration(dtype).json == "json" else text_reader(dtype)
    return read and (lambda cell: read(cell) if isinstance(cell, str) else cell)


_FORM = CellForm(
    lambda leaf: declaration(leaf).from_file, key=_key_reader, maps=None, tolerant=True
)
"""Values of JSON files, where the keys of maps are strings."""
