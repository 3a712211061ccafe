"""Moments at which tables are looked at, as users give them.

Owns which values are moments. A day is none, as it is not known whether its begin or its end is
meant, nor is a text, which is a label.
"""

from __future__ import annotations

import datetime
from typing import Any

__all__ = ["as_timestamp", "timestamp_hint"]


def as_timestamp(value: Any) -> datetime.datetime | None:
    """Return the moment that a value is, in local time where it has no zone; None if it is none.

    Examples
    --------
    >>> as_timestamp(datetime.datetime(2026, 1, 5, 12, tzinfo=datetime.UTC)).isoformat()
    '2026-01-05T12:00:00+00:00'
    >>> as_timestamp(datetime.date(2026, 1, 5)), as_timestamp("2026-01-05"), as_timestamp(3)
    (None, None, None)
    """
    if not isinstance(value, datetime.datetime) or value.isoformat() == "NaT":
        return None
    if hasattr(value, "nanosecond"):  # pandas' own, which has another astimezone()
        value = getattr(value, "to_pydatetime")(warn=False)  # noqa: B009
    return value if value.tzinfo else value.astimezone()


def timestamp_hint(value: Any) -> str:
    """Say how the moment is written that a day, or a text in the form of one, may mean.

    Examples
    --------
    >>> timestamp_hint(datetime.date(2026, 1, 5))[-47:]
    'datetime.datetime(2026, 1, 6) looks at its end.'
    >>> timestamp_hint("baseline"), timestamp_hint(3)
    ('', '')
    """
    shown: Any = value.item() if type(value).__name__ == "datetime64" else value
    if isinstance(value, str):
        try:
            shown = datetime.datetime.fromisoformat(value)
        except ValueError:
            return ""
        if len(value) <= len("2026-01-05"):
            shown = shown.date()
    if isinstance(shown, datetime.datetime) and as_timestamp(shown) is not None:
        return f"A moment is written datetime.datetime.fromisoformat({shown.isoformat()!r})."
    if not isinstance(shown, datetime.date) or isinstance(shown, datetime.datetime):
        return ""
    ends = shown + datetime.timedelta(days=1)
    return (
        f"datetime.datetime({shown.year}, {shown.month}, {shown.day}) looks at the begin of that "
        f"day, datetime.datetime({ends.year}, {ends.month}, {ends.day}) looks at its end."
    )
