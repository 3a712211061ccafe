"""Statistics of the columns of a query, as `ibis.Table.describe`: a row for each column.

Owns the statistics of each type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.types import declaration

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.types as ir

__all__ = ["summary"]

_NUMERIC_STATISTICS = ("mean", "std", "min", "max")


def summary(table: ir.Table, quantile: Sequence[float]) -> ir.Table:
    """Return a query with a row of statistics for each column.

    Statistics that apply to no column are left out: those of numbers, or the mode of strings.
    """
    schema = table.schema()
    rows = [
        _statistics(table, name, position, sorted(quantile))
        for position, name in enumerate(schema.names)
    ]
    families = {declaration(kind).family for kind in schema.types}
    statistics = ibis.union(*rows) if len(rows) > 1 else rows[0]
    if "text" not in families:
        statistics = statistics.drop("mode")
    if not families & {"number", "boolean"}:
        statistics = statistics.drop(*_NUMERIC_STATISTICS, *map(_percentile_name, quantile))
    return statistics


def _percentile_name(quantile: float) -> str:
    return f"p{100 * quantile:.6f}".rstrip("0").rstrip(".")


def _statistics(table: ir.Table, name: str, position: int, quantile: Sequence[float]) -> ir.Table:
    column: ir.Column = table[name]
    kind = column.type()
    missing = ibis.null(dt.float64)
    numbers = dict.fromkeys(_NUMERIC_STATISTICS, missing)
    percentiles = {_percentile_name(fraction): missing for fraction in quantile}
    mode = ibis.null(dt.string)
    family = declaration(kind).family
    if family == "number":
        numbers = {
            statistic: getattr(column, statistic)().cast("float64")
            for statistic in _NUMERIC_STATISTICS
        }
        percentiles = {
            _percentile_name(fraction): column.quantile(fraction).cast("float64")
            for fraction in quantile
        }
    elif family == "boolean":
        numbers["mean"] = column.mean()
    elif family == "text":
        mode = _text(column).mode()
    maximum = numbers.pop("max")
    return table.agg(
        name=ibis.literal(name),
        pos=ibis.literal(position, dt.int16),
        type=ibis.literal(str(kind)),
        count=column.isnull().count(),
        nulls=column.isnull().sum().fill_null(0),
        unique=_distinct_count(column),
        mode=mode,
        **numbers,
        **percentiles,
        max=maximum,
    )


def _text(column: ir.StringColumn) -> ir.StringColumn:
    """Return the references of media as strings, which have the string methods."""
    return column.cast(dt.string)


def _distinct_count(column: ir.Column) -> ir.IntegerScalar:
    """Count the distinct values, except for types whose equality databases do not support."""
    kind = column.type()
    declared = declaration(kind)
    if declared.json == "json":
        return ops.Cast(column, dt.string).to_expr().nunique()
    if declared.is_nested or kind.is_geospatial():
        return ibis.null(dt.int64)
    return (_text(column) if declared.family == "text" else column).nunique()
