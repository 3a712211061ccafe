"""Which types columns can have: the canonical form of a type, and why cells cannot have another.

`entries` assigns these functions to types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.types.data_types import MAX_DIGITS, VARIABLE_UNITS
from barbule.types.zones import canonical_zone

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

__all__ = [
    "refuse_digits",
    "refuse_months",
    "refuse_null",
    "refuse_unknown",
    "refuse_zone",
    "sized_decimal",
    "zoned_timestamp",
]

_DEFAULT_SCALE = 9  # of a decimal without a scale, as Ibis converts it to Arrow


def sized_decimal(kind: dt.Decimal) -> dt.Decimal:
    """Give a decimal without precision or scale the largest, as databases need them."""
    if None not in {kind.precision, kind.scale}:
        return kind
    scale = 0 if kind.precision is not None else _DEFAULT_SCALE
    return kind.copy(
        precision=kind.precision or MAX_DIGITS,
        scale=scale if kind.scale is None else kind.scale,
    )


def zoned_timestamp(kind: dt.Timestamp) -> dt.Timestamp:
    """Return a timestamp with a zone in the form of columns."""
    if kind.timezone is None:
        return kind
    # Databases store them in microseconds.
    zone = canonical_zone(kind.timezone) or kind.timezone
    return kind.copy(timezone=zone, scale=min(kind.scale, 6) if kind.scale else kind.scale)


def refuse_digits(kind: dt.Decimal) -> tuple[str, str] | None:
    """Refuse decimals with more digits than databases store."""
    if (kind.precision or 0) <= MAX_DIGITS:
        return None
    return (
        f"a decimal has up to {MAX_DIGITS} digits, but {kind} has {kind.precision}.",
        f"Use decimal({MAX_DIGITS}, {min(kind.scale or 0, MAX_DIGITS)}), or bb.String.",
    )


def refuse_zone(kind: dt.Timestamp) -> tuple[str, str] | None:
    """Refuse unknown time zones."""
    if not kind.timezone or canonical_zone(kind.timezone):
        return None
    return (
        f"there is no time zone {kind.timezone!r}.",
        'Write it as the IANA database does, "Europe/Berlin", or as "UTC" or "+02:00".',
    )


def refuse_months(kind: dt.Interval) -> tuple[str, str] | None:
    """Refuse durations whose length depends on the calendar."""
    if kind.unit.short not in VARIABLE_UNITS:
        return None
    return (
        (
            f"a column holds durations of a fixed length, but the length of {kind} depends on "
            "the calendar."
        ),
        "Store the number of months as bb.Int.",
    )


def refuse_unknown(kind: dt.DataType) -> tuple[str, str]:
    """Refuse a type that no cell can have."""
    return (
        f"the type {kind} is not supported.",
        "Store geometries as strings (WKT) or bytes (WKB), and network addresses as bb.String.",
    )


def refuse_null(kind: dt.DataType) -> tuple[str, str]:
    """Refuse types without values."""
    return (
        f"the type {type(kind).__name__.lower()} is not supported.",
        'Declare its type: bb.String in a schema, ibis.null("string") in an expression.',
    )
