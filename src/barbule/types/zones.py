"""Names of time zones, and fixed distances from UTC.

Owns which names are zones: those of the IANA database, and distances as Arrow writes them.
"""

from __future__ import annotations

import datetime
import functools
import re
from zoneinfo import ZoneInfo, available_timezones

__all__ = ["canonical_zone", "fixed_offset", "zone_info"]

_FIXED = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")


def fixed_offset(name: str) -> datetime.timedelta | None:
    """Return the distance from UTC that a name says; None for the name of a place.

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


# There is no such zone, or its name is not even one that a file may have.
_UNKNOWN = (KeyError, ValueError, OSError)


@functools.cache
def canonical_zone(name: str) -> str | None:
    """Return a zone by its name in the IANA database, or its distance as Arrow writes it.

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
    """Return a zone for Python's moments.

    Raises
    ------
    ValueError
        When there is no such zone.
    """
    offset = fixed_offset(name)
    if offset is not None:
        return datetime.timezone(offset)
    try:
        return ZoneInfo(canonical_zone(name) or name)
    except _UNKNOWN:
        raise ValueError(f"there is no time zone {name!r}") from None
