"""The rate limits that a provider reports in the headers of a reply.

Reads how much of a limit remains and when it is reset. `rate_limits` acts on it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["seconds_until_reset"]

_HEADER_TEMPLATES = (
    "x-ratelimit-{field}-{kind}",  # OpenAI and those who follow it
    "anthropic-ratelimit-{kind}-{field}",
)
_KINDS = ("requests", "tokens")
_RESET_DIVISOR = 10  # a tenth of the reset time is waited: limits refill gradually
_MAX_RESET_SECONDS = 60.0  # limits are per minute; longer ones come with an error that says so


def seconds_until_reset(headers: Mapping[str, str], now: datetime | None = None) -> float:
    """Return the seconds to wait before the next call; 0 where the limits are not used up.

    Parameters
    ----------
    headers
        The headers of a reply, names in lower case.
    now
        The time of the reply, for headers that give a time.

    Examples
    --------
    >>> reset = {"x-ratelimit-reset-requests": "20s"}
    >>> seconds_until_reset({"x-ratelimit-remaining-requests": "7", **reset})
    0.0
    >>> seconds_until_reset({"x-ratelimit-remaining-requests": "0", **reset})
    2.0
    """
    waits = [0.0]
    for template in _HEADER_TEMPLATES:
        for kind in _KINDS:
            remaining = headers.get(template.format(field="remaining", kind=kind))
            reset = headers.get(template.format(field="reset", kind=kind))
            if remaining is not None and reset is not None and _is_exhausted(remaining):
                seconds = _parse_seconds(reset, now or datetime.now(UTC))
                waits.append(min(seconds, _MAX_RESET_SECONDS) / _RESET_DIVISOR)
    return max(waits)


def _is_exhausted(remaining: str) -> bool:
    try:
        return float(remaining) <= 0
    except ValueError:
        return False


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?<!\d)(\d++(?:\.\d++)?)(ms|s|m|h)")


def _parse_seconds(reset: str, now: datetime) -> float:
    """Read "6m0s", "20ms", "1.5" or a timestamp as seconds; 0 where it cannot be read."""
    parts = _DURATION.findall(reset)
    if parts and "".join(f"{number}{unit}" for number, unit in parts) == reset:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        return max(0.0, float(reset))
    except ValueError:
        pass
    try:
        timestamp = datetime.fromisoformat(reset)
    except ValueError:
        return 0.0
    timestamp = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    return max(0.0, (timestamp - now).total_seconds())
