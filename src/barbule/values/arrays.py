"""Arrow arrays from Python values, without pandas.

Owns two functions. `pyarrow.array`, `pyarrow.scalar` and compute functions with a Python value as
an argument import pandas, if it is installed, to check whether an argument is a pandas object: this
takes half a second or more, most of the time of a first small insert. Values of plain Python types
are converted here instead, as long as nothing else has imported pandas.
"""

from __future__ import annotations

import datetime
import sys
from array import array as _numbers
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

__all__ = ["arrow_array", "arrow_scalar"]

_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - Arrow counts without a zone
_EPOCH_UTC = _EPOCH.replace(tzinfo=datetime.UTC)
_MAX_BYTES = 2**31 - 1  # bytes
_MICROSECOND = datetime.timedelta(microseconds=1)
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_ARRAY_CODES = {
    "int8": "b", "int16": "h", "int32": "i", "int64": "q",
    "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q",
    "float": "f", "double": "d",
}  # fmt: skip


def arrow_array(
    values: Sequence[Any],
    kind: pa.DataType,
    *,
    types: set[type] | None = None,
    nan_is_missing: bool = False,
) -> pa.Array:
    """Convert plain Python values to an Arrow array; missing values are None.

    Parameters
    ----------
    values
        The values of one column.
    kind
        The type of the array.
    types
        The types of the values, including None's, if they are already known.
    nan_is_missing
        Whether NaN and the missing values of pandas are treated as missing.

    Raises
    ------
    pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, TypeError, ValueError, OverflowError
        If a value does not fit, as `pyarrow.array` reports it.

    Examples
    --------
    >>> import pyarrow as pa
    >>> arrow_array([1, None], pa.int64()).to_pylist()
    [1, None]
    """
    import pyarrow as pa

    if "pandas" not in sys.modules:
        array = _native_array(values, kind, types)
        if array is not None:
            return array
    return pa.array(values, kind, from_pandas=nan_is_missing)


def arrow_scalar(value: object, kind: pa.DataType) -> pa.Scalar:
    """Convert a Python value to an Arrow scalar, for `pyarrow.repeat` and compute functions.

    Examples
    --------
    >>> import pyarrow as pa
    >>> arrow_scalar(3, pa.int64()).as_py()
    3
    """
    return arrow_array([value], kind)[0]


def _native_array(
    values: Sequence[Any], kind: pa.DataType, types: set[type] | None
) -> pa.Array | None:
    """Return the array, or None for types and values that only pyarrow handles."""
    import pyarrow as pa

    types = set(map(type, values)) if types is None else types
    missing = type(None) in types
    types = types - {type(None)}
    if not types:
        return pa.nulls(len(values), kind)
    try:
        buffers = _buffers(values, kind, types, missing)
    except (OverflowError, UnicodeEncodeError, TypeError):
        return None  # pyarrow reports the error
    if buffers is None:
        return None
    validity = _bit_buffer([value is not None for value in values]) if missing else None
    return pa.Array.from_buffers(kind, len(values), [validity, *buffers])


def _buffers(
    values: Sequence[Any], kind: pa.DataType, types: set[type], missing: bool
) -> list[pa.Buffer] | None:
    import pyarrow as pa

    name = str(kind)
    if name in _ARRAY_CODES:
        fits = types <= ({int, float} if name in {"float", "double"} else {int})
        return (
            [_number_buffer(_ARRAY_CODES[name], _fill_missing(values, 0, missing))]
            if fits
            else None
        )
    if types == {bool} and name == "bool":
        return [_bit_buffer([value is True for value in values])]
    if types == {str} and name == "string":
        return _text_buffers(_fill_missing(values, "", missing))
    if types == {bytes} and name == "binary":
        filled = _fill_missing(values, b"", missing)
        return _string_buffers(filled, b"".join(filled))
    if types == {datetime.date} and name == "date32[day]":
        days = [0 if value is None else value.toordinal() - _EPOCH_DAY for value in values]
        return [_number_buffer("i", days)]
    if types == {datetime.datetime} and pa.types.is_timestamp(kind) and kind.unit == "us":
        return [
            _number_buffer(
                "q", [0 if value is None else _microseconds_since_epoch(value) for value in values]
            )
        ]
    return None


def _fill_missing(values: Sequence[Any], filler: object, missing: bool) -> Sequence[Any]:
    return [filler if value is None else value for value in values] if missing else values


def _microseconds_since_epoch(timestamp: datetime.datetime) -> int:
    start = _EPOCH if timestamp.tzinfo is None else _EPOCH_UTC
    return (timestamp - start) // _MICROSECOND


def _number_buffer(code: str, values: Sequence[Any]) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(_numbers(code, values))


def _bit_buffer(values: list[bool]) -> pa.Buffer:
    import numpy as np
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.array(values, dtype=bool), bitorder="little"))


def _text_buffers(values: Sequence[str]) -> list[pa.Buffer]:
    joined = "".join(values)
    if joined.isascii():  # as many bytes as characters
        return _string_buffers(values, joined.encode())
    encoded = [value.encode() for value in values]
    return _string_buffers(encoded, b"".join(encoded))


def _string_buffers(values: Sequence[str] | Sequence[bytes], content: bytes) -> list[pa.Buffer]:
    import numpy as np
    import pyarrow as pa

    if len(content) > _MAX_BYTES:
        raise OverflowError("more than an array of strings can hold")
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, values), np.int32, len(values)), out=offsets[1:])
    return [pa.py_buffer(offsets), pa.py_buffer(content)]
