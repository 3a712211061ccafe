"""Intervals of databases, as the durations of Arrow."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["durations"]

_PARTS = [("months", "i4"), ("days", "i4"), ("nanoseconds", "i8")]
_DAY = 86_400_000_000  # microseconds
_MONTH = 30  # days, as where databases compare intervals


def durations(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Turn intervals of months, days and nanoseconds into durations, also within lists.

    Examples
    --------
    >>> import pyarrow as pa
    >>> intervals = pa.array([pa.MonthDayNano([0, 1, 3_000_000_000]), None])
    >>> durations(intervals, pa.duration("us")).to_pylist()
    [datetime.timedelta(days=1, seconds=3), None]
    """
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_interval(array.type):
        return pa.array([_plain(value) for value in array.to_pylist()], wanted)
    content = array.buffers()[1]
    parts = np.frombuffer(content, np.dtype(_PARTS))[array.offset : array.offset + len(array)]
    days = parts["months"].astype("i8") * _MONTH + parts["days"]
    counted = pa.array(days * _DAY + parts["nanoseconds"] // 1000, mask=_missing(array))
    return counted.cast(pa.duration("us")).cast(wanted)


def _missing(array: pa.Array) -> Any:
    return array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None


def _plain(value: Any) -> Any:
    if type(value).__name__ == "MonthDayNano":
        microseconds = value.nanoseconds // 1000
        return datetime.timedelta(value.months * _MONTH + value.days, microseconds=microseconds)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, tuple):  # an entry of a map
        return tuple(_plain(each) for each in value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return value
