"""Timestamps at which users read tables.

Owns which values are timestamps. A date is not one, because it may mean the beginning or the end of
the day; nor is a string, which is a label.
"""

from __future__ import annotations

import datetime

__all__ = ["as_timestamp", "timestamp_hint"]


def as_timestamp(value: object) -> datetime.datetime | None:
    """Return a value as a timestamp, in local time if it has no zone; None if it is not one.

    Examples
    --------
    >>> as_timestamp(datetime.datetime(2026, 1, 5, 12, tzinfo=datetime.UTC)).isoformat()
    '2026-01-05T12:00:00+00:00'
    >>> as_timestamp(datetime.date(2026, 1, 5)), as_timestamp("2026-01-05"), as_timestamp(3)
    (None, None, None)
    """
    if not isinstance(value, datetime.datetime) or value.isoformat() == "NaT":
        return None
    timestamp: datetime.datetime = value
    if hasattr(value, "nanosecond"):  # pandas' own, which has another astimezone()
        timestamp = getattr(value, "to_pydatetime")(warn=False)  # noqa: B009
    return timestamp if timestamp.tzinfo else timestamp.astimezone()


def timestamp_hint(value: object) -> str:
    """Return a hint on how to write a timestamp, for a date or a string that looks like one.

    Examples
    --------
    >>> timestamp_hint(datetime.date(2026, 1, 5))[-41:]
    'datetime.datetime(2026, 1, 6) is its end.'
    >>> timestamp_hint("baseline"), timestamp_hint(3)
    ('', '')
    """
    parsed = getattr(value, "item")() if type(value).__name__ == "datetime64" else value  # noqa: B009
    if isinstance(value, str):
        try:
            parsed = datetime.datetime.fromisoformat(value)
        except ValueError:
            return ""
        if len(value) <= len("2026-01-05"):
            parsed = parsed.date()
    if isinstance(parsed, datetime.datetime) and as_timestamp(parsed) is not None:
        return f"Pass a point in time as datetime.datetime.fromisoformat({parsed.isoformat()!r})."
    if not isinstance(parsed, datetime.date) or isinstance(parsed, datetime.datetime):
        return ""
    end = parsed + datetime.timedelta(days=1)
    return (
        f"datetime.datetime({parsed.year}, {parsed.month}, {parsed.day}) is the start of that "
        f"day, datetime.datetime({end.year}, {end.month}, {end.day}) is its end."
    )
