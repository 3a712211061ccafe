"""New values of expressions whose types hold more than those of their columns.

Owns which casts of SQL would lose something without a word, and the check, value by value, that
nothing is lost; a constant is refused likewise when it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import BarbuleError, DataError
from barbule.tables.sources.columns import cast_column

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.catalog.records import Column
    from barbule.media.library import MediaLibrary

__all__ = ["loses_by_cast", "on_the_clock", "without_loss"]

_MICROSECONDS = 6  # digits of seconds


def loses_by_cast(given: dt.DataType, kind: dt.DataType) -> bool:
    """Whether a cast may lose what is no rounding: fractions, times of day, nanoseconds.

    Examples
    --------
    >>> import ibis.expr.datatypes as dt
    >>> loses_by_cast(dt.float64, dt.int64), loses_by_cast(dt.float64, dt.Decimal(6, 2))
    (True, False)
    """
    if isinstance(given, dt.Array) and isinstance(kind, dt.Array):
        return loses_by_cast(given.value_type, kind.value_type)
    if isinstance(kind, dt.Integer):
        return isinstance(given, dt.Floating | dt.Decimal)
    if isinstance(given, dt.Timestamp):
        if isinstance(kind, dt.Timestamp):
            return _digits(given) > _digits(kind) == _MICROSECONDS
        return isinstance(kind, dt.Date)
    return False


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


def _lossy(message: str, value: Any, column: Column, table: str) -> DataError:
    return DataError(
        message,
        table=table,
        column=column.name,
        value=value,
        hint=f"Round, cut or cast it in the expression, .cast({str(column.dtype)!r}), or give the "
        "column another type.",
    )
