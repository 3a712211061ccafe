"""Lossless casts of new values to the types of their columns.

Owns which SQL casts would lose digits or parse a string silently, and the check of each value
instead. Constants are checked in the same way when they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import BarbuleError, DataError
from barbule.tables.sources.conversion import cast_column
from barbule.types import declaration, storage
from barbule.types.data_types import MAX_DIGITS
from barbule.types.declarations import by_pair, holds

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from barbule.catalog.records import Column
    from barbule.media.library import MediaLibrary

__all__ = ["as_local_time", "cast_without_loss", "holds_decimals", "is_lossy_cast", "may_overflow"]

_MICROSECOND_DIGITS = 6  # digits of seconds


def is_lossy_cast(source: dt.DataType, target: dt.DataType) -> bool:
    """Whether a cast may lose digits, times of day or nanoseconds, or changes the type family.

    The nearest float of a number is not a loss, and databases refuse a decimal that is too large.

    Examples
    --------
    >>> import ibis.expr.datatypes as dt
    >>> is_lossy_cast(dt.float64, dt.Decimal(6, 2)), is_lossy_cast(dt.Decimal(6, 2), dt.float64)
    (True, False)
    >>> is_lossy_cast(dt.string, dt.int64)
    True
    """
    families = declaration(source).family, declaration(target).family
    if None not in families and families[0] != families[1]:
        return True
    loses = by_pair(_LOSSES, source, target)
    return loses is not None and loses(source, target)


def holds_decimals(dtype: dt.DataType) -> bool:
    """Whether values of a type are decimals, or lists of them."""
    return holds(dtype, dt.Decimal, into=(dt.Array,))


def may_overflow(source: dt.DataType, target: dt.DataType) -> bool:
    """Whether a decimal may overflow another, which backends report with different errors."""
    decimals = isinstance(source, dt.Decimal) and isinstance(target, dt.Decimal)
    return decimals and storage(source) != storage(target)


def _decimal_scale(dtype: dt.Decimal) -> int:
    """Count the digits after the decimal point; an unsized decimal may have any number."""
    return MAX_DIGITS if dtype.scale is None else int(dtype.scale)


def _second_digits(dtype: dt.Timestamp) -> int:
    return _MICROSECOND_DIGITS if dtype.scale is None else dtype.scale


def _always(_source: dt.DataType, _target: dt.DataType) -> bool:
    return True


# Whether a cast may lose something: by the class of the source, then of the target.
_LOSSES: dict[type[dt.DataType], dict[type[dt.DataType], Callable[[Any, Any], bool]]] = {
    dt.Array: {
        dt.Array: lambda source, target: is_lossy_cast(source.value_type, target.value_type)
    },
    dt.Floating: {dt.Integer: _always, dt.Decimal: _always},
    dt.Decimal: {
        dt.Integer: _always,
        dt.Decimal: lambda source, target: _decimal_scale(source) > _decimal_scale(target),
    },
    dt.Timestamp: {
        dt.Timestamp: lambda source, target: (
            _second_digits(source) > _second_digits(target) == _MICROSECOND_DIGITS
        ),
        dt.Date: _always,
    },
}


def as_local_time(value: ops.Value) -> ops.Value:
    """Cast a timestamp with a time zone to local time, which determines its date in databases."""
    zoned = isinstance(value.dtype, dt.Timestamp) and value.dtype.timezone is not None
    return ops.Cast(value, dt.timestamp) if zoned else value


def cast_without_loss(
    cells: pa.ChunkedArray, column: Column, table: str, library: MediaLibrary
) -> pa.Array | pa.ChunkedArray:
    """Cast new values to the type of their column.

    Raises
    ------
    DataError
        If a value does not fit unchanged.
    """
    try:
        cast_cells = cast_column(cells, column.dtype, library)
    except BarbuleError as error:
        raise _lossy_error(error.message, error.value, column, table) from error.__cause__
    if _missing_count(cast_cells) > _missing_count(cells):  # NaN, which is read as missing
        raise _lossy_error("NaN cannot be stored in the column.", float("nan"), column, table)
    return cast_cells


def _missing_count(cells: pa.Array | pa.ChunkedArray) -> int:
    """Count the missing cells, and the missing items in lists."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_list = pa.types.is_list(cells.type) or pa.types.is_fixed_size_list(cells.type)
    missing_items = _missing_count(pc.list_flatten(cells)) if is_list else 0
    return int(cells.null_count) + missing_items


def _lossy_error(message: str, value: object, column: Column, table: str) -> DataError:
    return DataError(
        message,
        table=table,
        column=column.name,
        value=value,
        hint=f"Round, truncate or cast it in the expression, .cast({str(column.dtype)!r}), or "
        "give the column another type.",
    )
