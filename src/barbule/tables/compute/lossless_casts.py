"""New values of expressions whose types hold more than those of their columns.

Owns which casts of SQL would lose something or parse a text without a word, and the check, value
by value, that nothing is lost; a constant is refused likewise when it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import BarbuleError, DataError
from barbule.tables.sources.conversion import cast_column
from barbule.types import storage
from barbule.types.data_types import MAX_DIGITS

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.catalog.records import Column
    from barbule.media.library import MediaLibrary

__all__ = ["holds_decimals", "loses_by_cast", "may_be_too_large", "on_the_clock", "without_loss"]

_MICROSECONDS = 6  # digits of seconds
_FAMILIES: tuple[tuple[type[dt.DataType], ...], ...] = (
    (dt.Boolean,),
    (dt.Numeric,),
    (dt.String,),
    (dt.Date, dt.Timestamp),
    (dt.Time,),
)


def loses_by_cast(given: dt.DataType, kind: dt.DataType) -> bool:
    """Whether a cast may lose digits, times of day or nanoseconds, or makes one kind another.

    The nearest float of a number is no loss, and a decimal too large is refused by databases.

    Examples
    --------
    >>> import ibis.expr.datatypes as dt
    >>> loses_by_cast(dt.float64, dt.Decimal(6, 2)), loses_by_cast(dt.Decimal(6, 2), dt.float64)
    (True, False)
    >>> loses_by_cast(dt.string, dt.int64)
    True
    """
    if isinstance(given, dt.Array) and isinstance(kind, dt.Array):
        return loses_by_cast(given.value_type, kind.value_type)
    families = _family(given), _family(kind)
    if None not in families and families[0] is not families[1]:
        return True
    if isinstance(kind, dt.Integer):
        return isinstance(given, dt.Floating | dt.Decimal)
    if isinstance(kind, dt.Decimal):
        finer = isinstance(given, dt.Decimal) and _places(given) > _places(kind)
        return finer or isinstance(given, dt.Floating)
    if isinstance(given, dt.Timestamp):
        if isinstance(kind, dt.Timestamp):
            return _digits(given) > _digits(kind) == _MICROSECONDS
        return isinstance(kind, dt.Date)
    return False


def holds_decimals(kind: dt.DataType) -> bool:
    """Whether values of a type are decimals, or lists of them."""
    return isinstance(kind, dt.Decimal) or (
        isinstance(kind, dt.Array) and holds_decimals(kind.value_type)
    )


def may_be_too_large(given: dt.DataType, kind: dt.DataType) -> bool:
    """Whether one decimal may have more digits than another, which backends tell differently."""
    decimals = isinstance(given, dt.Decimal) and isinstance(kind, dt.Decimal)
    return decimals and storage(given) != storage(kind)


def _family(kind: dt.DataType) -> tuple[type[dt.DataType], ...] | None:
    """Return the types among which values stay what they are."""
    return next((each for each in _FAMILIES if isinstance(kind, each)), None)


def _places(kind: dt.Decimal) -> int:
    """Count the digits after the point, of which an unsized decimal may have any number."""
    return MAX_DIGITS if kind.scale is None else int(kind.scale)


def _digits(kind: dt.Timestamp) -> int:
    return _MICROSECONDS if kind.scale is None else kind.scale


def on_the_clock(value: ops.Value) -> ops.Value:
    """Show a moment with a zone on the clock by which the database tells its day."""
    zoned = isinstance(value.dtype, dt.Timestamp) and value.dtype.timezone is not None
    return ops.Cast(value, dt.timestamp) if zoned else value


def without_loss(
    cells: pa.ChunkedArray, column: Column, table: str, library: MediaLibrary
) -> pa.Array | pa.ChunkedArray:
    """Turn new values into those of their column.

    Raises
    ------
    DataError
        When one does not fit as it is.
    """
    try:
        fitted = cast_column(cells, column.dtype, library)
    except BarbuleError as error:
        raise _lossy(error.message, error.value, column, table) from error.__cause__
    if _missing(fitted) > _missing(cells):  # NaN, which is read as missing
        raise _lossy("NaN is no value of the column.", float("nan"), column, table)
    return fitted


def _missing(cells: pa.Array | pa.ChunkedArray) -> int:
    """Count the missing cells, and the missing items within lists."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = pa.types.is_list(cells.type) or pa.types.is_fixed_size_list(cells.type)
    within = _missing(pc.list_flatten(cells)) if lists else 0
    return int(cells.null_count) + within


def _lossy(message: str, value: object, column: Column, table: str) -> DataError:
    return DataError(
        message,
        table=table,
        column=column.name,
        value=value,
        hint=f"Round, cut or cast it in the expression, .cast({str(column.dtype)!r}), or give the "
        "column another type.",
    )
