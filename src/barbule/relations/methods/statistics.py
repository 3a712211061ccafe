"""Statistics of the columns of a query: how many values, and how they are spread.

Owns what of it each type has. As `ibis.Table.describe`, with a row for each column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

__all__ = ["summary"]

_NUMBERS = ("mean", "std", "min", "max")


def summary(table: ir.Table, quantile: Sequence[float]) -> Any:
    """Return a query for a row of statistics of each column.

    Columns of statistics that no column has are left out: those of numbers, or the mode of texts.
    """
    schema = table.schema()
    parts = [
        _statistics(table, name, place, sorted(quantile)) for place, name in enumerate(schema.names)
    ]
    texts = any(kind.is_string() for kind in schema.types)
    numbers = any(kind.is_numeric() or kind.is_boolean() for kind in schema.types)
    found = ibis.union(*parts) if len(parts) > 1 else parts[0]
    if not texts:
        found = found.drop("mode")
    if not numbers:
        found = found.drop(*_NUMBERS, *map(_percent, quantile))
    return found


def _percent(quantile: float) -> str:
    return f"p{100 * quantile:.6f}".rstrip("0").rstrip(".")


def _statistics(table: ir.Table, name: str, place: int, quantile: Sequence[float]) -> Any:
    column: Any = table[name]
    kind = column.type()
    real = ibis.null(dt.float64)
    numbers = dict.fromkeys(_NUMBERS, real)
    parts = {_percent(each): real for each in quantile}
    mode = ibis.null(dt.string)
    if kind.is_numeric():
        numbers = {each: getattr(column, each)().cast("float64") for each in _NUMBERS}
        parts = {_percent(each): column.quantile(each).cast("float64") for each in quantile}
    elif kind.is_boolean():
        numbers["mean"] = column.mean()
    elif kind.is_string():
        mode = _text(column).mode()
    last = numbers.pop("max")
    return table.agg(
        name=ibis.literal(name),
        pos=ibis.literal(place, dt.int16),
        type=ibis.literal(str(kind)),
        count=column.isnull().count(),
        nulls=column.isnull().sum().fill_null(0),
        unique=_distinct(column),
        mode=mode,
        **numbers,
        **parts,
        max=last,
    )


def _text(column: Any) -> Any:
    """Return a text as one: of media the reference, whose methods are not those of texts."""
    return column.cast(dt.string)


def _distinct(column: Any) -> Any:
    """Count the different values; not those of types whose equality databases do not know."""
    kind = column.type()
    if kind.is_json():
        return ops.Cast(column, dt.string).to_expr().nunique()
    if kind.is_nested() or kind.is_geospatial():
        return ibis.null(dt.int64)
    return (_text(column) if kind.is_string() else column).nunique()
