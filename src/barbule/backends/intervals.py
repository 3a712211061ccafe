"""Intervals of databases as durations of Arrow."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["durations"]

_FIELDS = [("months", "i4"), ("days", "i4"), ("nanoseconds", "i8")]
_MICROSECONDS_PER_DAY = 86_400_000_000
_DAYS_PER_MONTH = 30  # as databases compare intervals


def durations(array: pa.Array, dtype: pa.DataType) -> pa.Array:
    """Convert intervals of months, days and nanoseconds to durations, also in nested types.

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
        return pa.array([_with_timedeltas(value) for value in array.to_pylist()], dtype)
    buffer = array.buffers()[1]
    fields = np.frombuffer(buffer, np.dtype(_FIELDS))[array.offset : array.offset + len(array)]
    days = fields["months"].astype("i8") * _DAYS_PER_MONTH + fields["days"]
    microseconds = days * _MICROSECONDS_PER_DAY + fields["nanoseconds"] // 1000
    mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    return pa.array(microseconds, mask=mask).cast(pa.duration("us")).cast(dtype)


def _with_timedeltas(value: object) -> object:
    """Convert the intervals in a Python value to timedeltas."""
    import pyarrow as pa

    if isinstance(value, pa.MonthDayNano):
        days = value.months * _DAYS_PER_MONTH + value.days
        return datetime.timedelta(days, microseconds=value.nanoseconds // 1000)
    if isinstance(value, list):
        return [_with_timedeltas(element) for element in value]
    if isinstance(value, tuple):  # an entry of a map
        return tuple(_with_timedeltas(element) for element in value)
    if isinstance(value, dict):
        return {name: _with_timedeltas(field) for name, field in value.items()}
    return value
