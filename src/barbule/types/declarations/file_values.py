"""Values of types that text files lack: written as strings and numbers, and parsed again.

Owns these forms. `types.declarations.entries` assigns them to types; `io.text_cells` writes them
and `tables.sources.text_values` reads them, with the errors.
"""

from __future__ import annotations

import base64
import binascii
import decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

    from barbule.types.declarations.nested import Convert

__all__ = [
    "decimal_writer",
    "is_wide",
    "parse_boolean",
    "parse_bytes",
    "parse_decimal",
    "parse_number",
]

_MAX_EXACT_DIGITS = 15  # of a decimal that a double represents uniquely


def is_wide(kind: dt.Decimal) -> bool:
    """Whether a decimal may have more digits than the number in a file keeps."""
    return kind.precision is None or kind.precision > _MAX_EXACT_DIGITS


def decimal_writer(kind: dt.Decimal) -> Convert:
    """Return the function that writes a decimal: a string if it may be wide, else a number."""
    return str if is_wide(kind) else float


def parse_bytes(value: Any) -> Any:
    """Parse base64."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"bytes in files must be base64 ({error})") from error


def parse_number(text: str) -> int | float:
    """Parse an integer or a float."""
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


def parse_decimal(text: str) -> decimal.Decimal:
    """Parse a decimal."""
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None


_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def parse_boolean(text: str) -> bool:
    """Parse a boolean as databases write it."""
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("it is neither true nor false") from None
