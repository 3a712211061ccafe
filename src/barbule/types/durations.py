"""Durations as ISO 8601 strings, `P1DT2H3M4.5S`, in both directions.

Years and months have no fixed length and are not read.
"""

from __future__ import annotations

import datetime
import re

__all__ = ["duration_text", "read_duration"]

_ISO = re.compile(
    r"([+-])?P(?:(\d{1,9})W)?(?:(\d{1,9})D)?"
    r"(T(?:(\d{1,12})H)?(?:(\d{1,12})M)?(?:(\d{1,15})(?:[.,](\d{1,6}))?S)?)?"
)
_ZERO = datetime.timedelta(0)


def duration_text(length: datetime.timedelta) -> str:
    """Write a duration as ISO 8601.

    Examples
    --------
    >>> import datetime
    >>> duration_text(datetime.timedelta(days=1, hours=2, milliseconds=5))
    'P1DT2H0.005S'
    >>> duration_text(datetime.timedelta(seconds=-90))
    '-PT1M30S'
    """
    if length < _ZERO:
        return f"-{duration_text(-length)}"
    minutes, seconds = divmod(length.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    seconds_text = str(seconds)
    if length.microseconds:
        seconds_text = f"{seconds}.{length.microseconds:06}".rstrip("0")
    clock = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    clock += f"{seconds_text}S" if seconds_text != "0" or not (clock or length.days) else ""
    return f"P{length.days}D{'T' * bool(clock)}{clock}" if length.days else f"PT{clock}"


def read_duration(text: str) -> datetime.timedelta:
    """Parse an ISO 8601 duration.

    Raises
    ------
    ValueError
        If the format is different, or the precision is finer than a microsecond.

    Examples
    --------
    >>> read_duration("-PT1M30S")
    datetime.timedelta(days=-1, seconds=86310)
    """
    match = _ISO.fullmatch(text)
    if match is None or not any(match.group(2, 3, 5, 6, 7)) or match[4] == "T":
        raise ValueError(f"{text!r} is not an ISO 8601 duration such as 'P1DT2H3M4.5S'")
    weeks, days, hours, minutes, seconds = (int(match[group] or 0) for group in (2, 3, 5, 6, 7))
    length = datetime.timedelta(
        weeks=weeks,
        days=days,
        hours=hours,
        minutes=minutes,
        seconds=seconds,
        microseconds=int((match[8] or "").ljust(6, "0")),
    )
    return -length if match[1] == "-" else length
