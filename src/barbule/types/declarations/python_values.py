"""Conversion of single Python values to values that Arrow accepts for a type.

Owns which values fit a type, if a column cannot be converted at once; `entries` assigns the
functions to types.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import os
import re
import uuid
from typing import TYPE_CHECKING, Any, TypeGuard

from barbule.errors import with_article
from barbule.types.durations import read_duration
from barbule.types.zones import zone_info

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.datatypes as dt
    import numpy as np


__all__ = [
    "decimal_writer",
    "integer_writer",
    "is_missing",
    "timestamp_writer",
    "to_bool",
    "to_bytes",
    "to_date",
    "to_duration",
    "to_float",
    "to_string",
    "to_time",
    "to_uuid",
]

_PANDAS_MISSING_TYPES = {"NAType", "NaTType"}
_DATA_FRAME_LIBRARIES = {"pandas", "polars"}  # libraries


_MICROSECOND_DIGITS = 6  # digits of seconds, as Python and databases have them
_NANOSECONDS = re.compile(r"\.\d{6}(\d*[1-9]\d*)")  # in a text


def is_missing(value: object, *, nan_is_missing: bool) -> bool:
    """Whether a value means "missing": pandas' NA and NaT, and NaN if the type says so."""
    if isinstance(value, float):
        return nan_is_missing and math.isnan(value)
    if type(value).__name__ in _PANDAS_MISSING_TYPES:
        return True
    return _is_numpy_datetime(value) and bool(value != value)  # noqa: PLR0124 - as NaT alone is


def _is_numpy_datetime(value: object) -> TypeGuard[np.datetime64 | np.timedelta64]:
    return type(value).__name__ in {"datetime64", "timedelta64"}


def _without_numpy(value: object) -> object:
    """Convert NumPy scalars to Python values, and members of an Enum to their values."""
    if isinstance(value, enum.Enum):
        return value.value
    if _is_numpy_datetime(value):
        return value.astype(f"{value.dtype.kind}8[us]").item()
    if not (hasattr(value, "dtype") and hasattr(value, "item")):
        return value
    if (
        getattr(value, "shape", ())
        and type(value).__module__.split(".")[0] in _DATA_FRAME_LIBRARIES
    ):
        raise TypeError(  # item() would take a series of one row as its value
            f"{with_article(type(value).__name__)} holds values of several rows, but a cell takes "
            "one value: insert a data frame, or a dict for each row"
        )
    return value.item()


def to_string(value: object) -> str:
    """Take a string, a path, or a member of an Enum of strings."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif isinstance(value, enum.Enum):
        value = value.value
    if not isinstance(value, str):
        raise TypeError(f"got {type(value).__name__}, not a string")
    return value


def to_bool(value: object) -> bool:
    """Take a bool, also NumPy's."""
    plain = _without_numpy(value)
    if not isinstance(plain, bool):
        raise TypeError(f"got {type(value).__name__}, not a bool")
    return plain


def _to_number(value: object) -> int | float | decimal.Decimal:
    plain = _without_numpy(value)
    if isinstance(plain, bool) or not isinstance(plain, int | float | decimal.Decimal):
        raise TypeError(f"got {type(value).__name__}, not a number")
    return plain


def integer_writer(kind: dt.Integer) -> Callable[[Any], int]:
    """Return a function that takes whole numbers in the range of a type."""
    low, high = kind.bounds

    def convert(value: object) -> int:
        number = _to_number(value)
        if math.isnan(number) or math.isinf(number) or number != int(number):
            raise ValueError(f"{value!r} is not an integer")
        number = int(number)
        if not low <= number <= high:
            size = "large" if number > high else "small"
            raise ValueError(f"{number} is too {size}; the range is {low} to {high}")
        return number

    return convert


def to_float(value: object) -> float:
    """Take a number of any kind."""
    return float(_to_number(value))


def to_bytes(value: object) -> bytes:
    """Take bytes, and buffers of bytes."""
    value = value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, str):
        raise TypeError("got str, not bytes")
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"got {type(value).__name__}, not bytes")
    return bytes(value)


def decimal_writer(kind: dt.Decimal) -> Callable[[Any], decimal.Decimal]:
    """Return a function that takes numbers, and their texts, with the digits of a type."""
    integer_digits = None if None in {kind.precision, kind.scale} else kind.precision - kind.scale

    def convert(value: object) -> decimal.Decimal:
        plain = value if isinstance(value, str) else _to_number(value)
        narrow = isinstance(plain, float) and _is_numpy_scalar(value)  # has a shorter text
        try:
            number = decimal.Decimal(str(value if narrow else plain))
        except decimal.InvalidOperation:
            raise ValueError(f"{value!r} is not a number") from None
        if not number.is_finite():
            raise ValueError(
                f"a decimal must be finite, but {value!r} is not; use None for a missing value"
            )
        if integer_digits is not None:
            _check_digits(number, integer_digits, kind.scale)
        return number

    return convert


def _is_numpy_scalar(value: object) -> bool:
    return type(value).__module__ == "numpy"


def _check_digits(number: decimal.Decimal, integer_digits: int, scale: int) -> None:
    """Refuse a number with more digits than a decimal has before and after the decimal point."""
    _, digits, exponent = number.as_tuple()
    if number and number.adjusted() >= integer_digits:
        limit = f"at most {integer_digits} digits" if integer_digits > 0 else "no digits"
        raise ValueError(
            f"{limit} before the decimal point fit, but it has {number.adjusted() + 1}"
        )
    if -int(exponent) > scale and any(digits[int(exponent) + scale :]):
        raise ValueError(
            f"at most {scale} digits after the decimal point fit; rounding would lose data"
        )


def _has_nanoseconds(value: Any) -> bool:
    """Whether a timestamp has nanoseconds, which Python timestamps do not have."""
    if type(value).__name__ == "datetime64":
        return bool(value.astype("M8[us]") != value)
    if isinstance(value, str):
        return _NANOSECONDS.search(value) is not None
    return bool(getattr(value, "nanosecond", 0))


def timestamp_writer(kind: dt.Timestamp, default: str) -> Callable[[Any], Any]:
    """Return a function that reads a timestamp, with nanoseconds if the column has them."""
    scale = _MICROSECOND_DIGITS if kind.scale is None else kind.scale

    def convert(value: Any) -> datetime.datetime | np.datetime64:
        if kind.timezone is not None or not _has_nanoseconds(value):
            return _to_timestamp(value, kind.timezone, default)
        if scale == _MICROSECOND_DIGITS:
            raise ValueError(
                "it has nanoseconds, but the column stores microseconds: declare it as "
                "'timestamp(9)', or round the value"
            )
        timestamp = _to_timestamp(value, None, default)
        if scale < _MICROSECOND_DIGITS:
            return timestamp  # coarser on purpose
        import numpy as np

        return np.datetime64(timestamp, "ns") + np.timedelta64(_nanoseconds(value), "ns")

    return convert


def _nanoseconds(value: Any) -> int:
    """Return the nanoseconds of a timestamp beyond its microseconds."""
    if isinstance(value, str):
        match = _NANOSECONDS.search(value)
        return int(match[1].ljust(3, "0")[:3]) if match else 0
    if type(value).__name__ == "datetime64":
        return int(value.astype("M8[ns]").astype("int64")) % 1000
    return int(value.nanosecond)


def _to_timestamp(value: object, zone: str | None, default: str) -> datetime.datetime:
    """Read a timestamp with or without a time zone; a date is midnight there."""
    if zone is not None and _has_nanoseconds(value):
        raise ValueError(
            "it has nanoseconds, but timestamps with a time zone are stored in microseconds"
        )
    plain = _without_numpy(value)
    if isinstance(plain, str):
        plain = datetime.datetime.fromisoformat(plain)
    if isinstance(plain, datetime.datetime):
        if zone is not None and plain.tzinfo is None:
            return plain.replace(tzinfo=zone_info(default))
        if zone is None and plain.tzinfo is not None:
            return plain.astimezone(zone_info(default)).replace(tzinfo=None)
        return plain
    if isinstance(plain, datetime.date):
        zone_of_day = None if zone is None else zone_info(zone)
        return datetime.datetime(plain.year, plain.month, plain.day, tzinfo=zone_of_day)
    raise TypeError(_mismatch_message(value, "datetime"))


def to_date(value: object) -> datetime.date:
    """Read a date; a timestamp only at midnight."""
    plain = _without_numpy(value)
    if isinstance(plain, str):
        return datetime.date.fromisoformat(plain)
    if isinstance(plain, datetime.datetime):
        if plain.time() != datetime.time():
            raise ValueError(f"{value!r} has a time of day")
        return plain.date()
    if isinstance(plain, datetime.date):
        return plain
    raise TypeError(_mismatch_message(value, "date"))


def to_time(value: object) -> datetime.time:
    """Read a time of day."""
    if isinstance(value, str):
        return datetime.time.fromisoformat(value)
    if isinstance(value, datetime.time):
        return value
    raise TypeError(_mismatch_message(value, "time"))


def to_duration(value: object) -> datetime.timedelta:
    """Read a duration, in microseconds."""
    if getattr(value, "nanoseconds", 0):  # of pandas
        raise ValueError(f"{value!r} has nanoseconds, but a duration is stored in microseconds")
    if isinstance(value, str):
        return read_duration(value)
    plain = value.to_pytimedelta() if hasattr(value, "to_pytimedelta") else _without_numpy(value)
    if not isinstance(plain, datetime.timedelta):
        raise TypeError(_mismatch_message(value, "duration"))
    if _is_numpy_datetime(value) and value != value.astype("m8[us]"):
        raise ValueError(f"{value!r} has a higher precision than microseconds")
    return plain


def _mismatch_message(value: object, kind: str) -> str:
    if isinstance(value, int | float):  # which Arrow takes as a count since 1970
        return f"{value!r} is a number, not {with_article(kind)}"
    return f"got {type(value).__name__}, not {with_article(kind)}"


def to_uuid(value: object) -> str:
    """Write a UUID as a string."""
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value))
    return str(value if isinstance(value, uuid.UUID) else uuid.UUID(to_string(value)))
