"""Values as files of text hold them, made what a row in Python would hold.

Owns the reading of what `io.file_values` writes: bytes in base64, keys of maps as texts, and in
sheets texts in the place of what a cell cannot hold.
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

__all__ = ["from_file", "read_value", "text_reader"]

_HINT = "Correct the file, or give the column another type."


def from_file(
    values: Sequence[Any], kind: dt.DataType, form: Literal["json", "cells"]
) -> Sequence[Any]:
    """Read the values of a column, of JSON or of the cells of a sheet.

    Raises
    ------
    DataError
        When a text is no `kind`; the error names its row and shows it.

    Examples
    --------
    >>> from_file(["aG9va3M=", None], dt.binary, "json")
    [b'hooks', None]
    """
    read = _json_reader(kind) if form == "json" else _cell_reader(kind)
    if read is None:
        return values
    return [read_value(value, row, kind, read) for row, value in enumerate(values)]


def read_value(value: Any, row: int, kind: dt.DataType, read: Reader) -> Any:
    """Read one value; an error says which."""
    if value is None:
        return None
    try:
        return read(value)
    except (ValueError, ArithmeticError, TypeError) as error:
        raise DataError(
            f"this is no {kind}: {error}." if str(error) else f"this is no {kind}.",
            row=row,
            value=value,
            hint=_HINT,
        ) from error


def text_reader(kind: dt.DataType) -> Reader | None:
    """Return what parses a text, as CSV has it; None where texts are read as they are."""
    parse = next((parse for each, parse in _PARSERS.items() if isinstance(kind, each)), None)
    if parse is None or not isinstance(kind, dt.Array | dt.Struct | dt.Map):
        return None if parse is None else lambda text: parse(text.strip())
    inner = _json_reader(kind)
    return lambda text: _read(parse(text), inner)


def _read(value: Any, read: Reader | None) -> Any:
    return value if value is None or read is None else read(value)


def _json_reader(kind: dt.DataType) -> Reader | None:
    """Return what turns a value of JSON into one of `kind`; None where it is one."""
    if isinstance(kind, dt.Binary):
        return _bytes
    if isinstance(kind, dt.Array):
        inner = _json_reader(kind.value_type)
        return inner and (
            lambda items: (
                [_read(item, inner) for item in items] if isinstance(items, list) else items
            )
        )
    if isinstance(kind, dt.Struct):
        return _struct_reader(kind)
    if isinstance(kind, dt.Map):
        return _map_reader(kind)
    return None


def _struct_reader(kind: dt.Struct) -> Reader | None:
    readers = {name: read for name, each in kind.fields.items() if (read := _json_reader(each))}
    if not readers:
        return None
    return lambda fields: (
        {name: _read(value, readers.get(name)) for name, value in fields.items()}
        if isinstance(fields, dict)
        else fields
    )


def _map_reader(kind: dt.Map) -> Reader | None:
    read_key = None if isinstance(kind.key_type, dt.String) else _key_reader(kind.key_type)
    read_item = _json_reader(kind.value_type)
    if read_key is None and read_item is None:
        return None
    return lambda pairs: (
        {_read(key, read_key): _read(value, read_item) for key, value in pairs.items()}
        if isinstance(pairs, dict)
        else pairs
    )


def _key_reader(kind: dt.DataType) -> Reader | None:
    """Return what reads the key of a map, which JSON has as a text alone."""
    read = text_reader(kind)
    if isinstance(kind, dt.Timestamp):
        read = datetime.datetime.fromisoformat
    return read and (lambda key: read(key) if isinstance(key, str) else key)


def _cell_reader(kind: dt.DataType) -> Reader | None:
    """Return what reads the cell of a sheet: a text where the column holds none is parsed."""
    if isinstance(kind, dt.String | Media | dt.UUID):
        return None
    read = json.loads if isinstance(kind, dt.JSON) else text_reader(kind)
    return read and (lambda cell: read(cell) if isinstance(cell, str) else cell)


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(
            f"bytes are written as base64 in files, and it is none ({error})"
        ) from error


def _number(text: str) -> int | float:
    if "_" in text or not text.isascii():
        raise ValueError(f"{text!r} is no number")
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def _decimal(text: str) -> decimal.Decimal:
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise ValueError(f"{text!r} is no number") from None


_TRUTHS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _truth(text: str) -> bool:
    try:
        return _TRUTHS[text.lower()]
    except KeyError:
        raise ValueError("it is neither true nor false") from None


_PARSERS: dict[type[dt.DataType], Callable[[str], Any]] = {
    dt.Boolean: _truth,
    dt.Decimal: _decimal,
    dt.Numeric: _number,
    dt.Timestamp: str,  # read where its nanoseconds are
    dt.Date: datetime.date.fromisoformat,
    dt.Time: datetime.time.fromisoformat,
    dt.Binary: _bytes,
    dt.Array: json.loads,
    dt.Struct: json.loads,
    dt.Map: json.loads,
}
