"""Values as JSON files and spreadsheets hold them, converted to Python values.

Owns the inverse of `io.file_values`: bytes in base64, keys of maps as strings, and in sheets
strings for values that a cell cannot hold.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import json
from typing import TYPE_CHECKING, Any, Literal

import ibis.expr.datatypes as dt

from barbule.errors import DataError
from barbule.types import Media

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
    read = _json_reader(dtype) if form == "json" else _cell_reader(dtype)
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
    parse = next(
        (parse for parsed_type, parse in _PARSERS.items() if isinstance(dtype, parsed_type)), None
    )
    if parse is None or not isinstance(dtype, dt.Array | dt.Struct | dt.Map):
        return None if parse is None else lambda text: parse(text.strip())
    inner = _json_reader(dtype)
    return lambda text: _read_optional(parse(text), inner)


def _read_optional(value: Any, read: Reader | None) -> Any:
    return value if value is None or read is None else read(value)


def _json_reader(dtype: dt.DataType) -> Reader | None:
    """Return the converter of JSON values to a type; None if they need none."""
    if isinstance(dtype, dt.Binary):
        return _parse_bytes
    if isinstance(dtype, dt.Array):
        inner = _json_reader(dtype.value_type)
        return inner and (
            lambda items: (
                [_read_optional(item, inner) for item in items]
                if isinstance(items, list)
                else items
            )
        )
    if isinstance(dtype, dt.Struct):
        return _struct_reader(dtype)
    if isinstance(dtype, dt.Map):
        return _map_reader(dtype)
    return None


def _struct_reader(dtype: dt.Struct) -> Reader | None:
    readers = {
        name: read
        for name, field_dtype in dtype.fields.items()
        if (read := _json_reader(field_dtype))
    }
    if not readers:
        return None
    return lambda fields: (
        {name: _read_optional(value, readers.get(name)) for name, value in fields.items()}
        if isinstance(fields, dict)
        else fields
    )


def _map_reader(dtype: dt.Map) -> Reader | None:
    read_key = None if isinstance(dtype.key_type, dt.String) else _key_reader(dtype.key_type)
    read_item = _json_reader(dtype.value_type)
    if read_key is None and read_item is None:
        return None
    return lambda pairs: (
        {
            _read_optional(key, read_key): _read_optional(value, read_item)
            for key, value in pairs.items()
        }
        if isinstance(pairs, dict)
        else pairs
    )


def _key_reader(dtype: dt.DataType) -> Reader | None:
    """Return the parser of the keys of a map, which are strings in JSON."""
    read = text_reader(dtype)
    if isinstance(dtype, dt.Timestamp):
        read = datetime.datetime.fromisoformat
    return read and (lambda key: read(key) if isinstance(key, str) else key)


def _cell_reader(dtype: dt.DataType) -> Reader | None:
    """Return the converter of spreadsheet cells, which parses strings; None for strings."""
    if isinstance(dtype, dt.String | Media | dt.UUID):
        return None
    read = json.loads if isinstance(dtype, dt.JSON) else text_reader(dtype)
    return read and (lambda cell: read(cell) if isinstance(cell, str) else cell)


def _parse_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"bytes in files must be base64 ({error})") from error


def _parse_number(text: str) -> int | float:
    if "_" in text or not text.isascii():
        raise ValueError(f"{text!r} is not a number")
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def _parse_decimal(text: str) -> decimal.Decimal:
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None


_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _parse_boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("it is neither true nor false") from None


_PARSERS: dict[type[dt.DataType], Callable[[str], Any]] = {
    dt.Boolean: _parse_boolean,
    dt.Decimal: _parse_decimal,
    dt.Numeric: _parse_number,
    dt.Timestamp: str,  # read where its nanoseconds are
    dt.Date: datetime.date.fromisoformat,
    dt.Time: datetime.time.fromisoformat,
    dt.Binary: _parse_bytes,
    dt.Array: json.loads,
    dt.Struct: json.loads,
    dt.Map: json.loads,
}
