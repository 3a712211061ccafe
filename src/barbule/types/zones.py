"""Names of time zones, and fixed offsets from UTC.

Valid names are those of the IANA database, and offsets as Arrow writes them.
"""

from __future__ import annotations

import datetime
import functools
import re
from zoneinfo import ZoneInfo, available_timezones

__all__ = ["canonical_zone", "fixed_offset", "zone_info"]

_FIXED = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")


def fixed_offset(name: str) -> datetime.timedelta | None:
    """Return the offset from UTC of a name such as "UTC-03:30"; None for other names.

    Examples
    --------
    >>> fixed_offset("UTC-03:30"), fixed_offset("Europe/Berlin")
    (datetime.timedelta(days=-1, seconds=73800), None)
    """
    match = _FIXED.fullmatch(name)
    if match is None:
        return None
    sign, hours, minutes = match.groups()
    offset = datetime.timedelta(hours=int(hours), minutes=int(minutes or 0))
    return -offset if sign == "-" else offset


# An unknown zone, or a name that is not a valid file name.
_UNKNOWN = (KeyError, ValueError, OSError)


@functools.cache
def canonical_zone(name: str) -> str | None:
    """Return the IANA name of a zone, or a fixed offset as Arrow writes it; None if unknown.

    Examples
    --------
    >>> canonical_zone("UTC+2"), canonical_zone("europe/berlin"), canonical_zone("Mars/Phobos")
    ('+02:00', 'Europe/Berlin', None)
    """
    offset = fixed_offset(name)
    if offset is not None:
        minutes = abs(offset) // datetime.timedelta(minutes=1)
        sign = "-" if offset < datetime.timedelta() else "+"
        return f"{sign}{minutes // 60:02}:{minutes % 60:02}"
    try:
        return ZoneInfo(name).key
    except _UNKNOWN:
        lowered = {zone.lower(): zone for zone in available_timezones()}
        return lowered.get(name.lower())


def zone_info(name: str) -> datetime.tzinfo:
    """Return the `tzinfo` of a zone.

    Raises
    ------
    ValueError
        If there is no such zone.
    """
    offset = fixed_offset(name)
    if offset is not None:
        return datetime.timezone(offset)
    try:
        return ZoneInfo(canonical_zone(name) or name)
    except _UNKNOWN:
        raise ValueError(f"there is no time zone {name!r}") from None
