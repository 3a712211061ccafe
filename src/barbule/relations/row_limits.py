"""Validation of row numbers, fractions and slices that methods of queries take.

Owns only the validation. Ibis converts any argument to an integer, including "3", 1.5 and True.
"""

from __future__ import annotations

import operator
from contextlib import suppress
from typing import SupportsFloat, SupportsIndex, overload

import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.common.deferred import Deferred, Resolver

from barbule.errors import ExpressionError
from barbule.relations.errors.invalid_queries import table_name

__all__ = ["check_count", "check_index", "check_sample"]

_METHODS = ("row", "block")


@overload
def check_count(value: int, parameter: str, query: ir.Table, *, unlimited: bool = False) -> int: ...
@overload
def check_count(
    value: object, parameter: str, query: ir.Table, *, unlimited: bool = False
) -> int | ir.Value | Deferred | None: ...
def check_count(
    value: object, parameter: str, query: ir.Table, *, unlimited: bool = False
) -> int | ir.Value | Deferred | None:
    """Return a number of rows as an int; an expression unchanged.

    Parameters
    ----------
    parameter
        The method or parameter that takes it, for errors: "limit()" or "offset=".
    unlimited
        Whether None means all rows.

    Raises
    ------
    ExpressionError
        If it is not an integer of zero or more.
    """
    if isinstance(value, ir.Scalar) and isinstance(value.op(), ops.Literal):
        value = value.op().value
    if (value is None and unlimited) or isinstance(value, ir.IntegerScalar | Deferred | Resolver):
        return value
    if isinstance(value, ir.Value):
        raise ExpressionError(
            f"{parameter} takes one number, but {value.get_name()!r} is {value.type()}"
            f"{', with a value for each row' if isinstance(value, ir.Column) else ''}.",
            table=table_name(query),
            hint="Write an integer, 10, or a computed number: t.limit(t.count() // 2).",
        )
    number = None
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        with suppress(TypeError):
            number = operator.index(value)
    if number is None or number < 0:
        all_rows = " None means all rows." if unlimited else ""
        raise ExpressionError(
            f"{parameter} takes a number of rows: an integer of zero or more.",
            table=table_name(query),
            value=value,
            hint=f"For example 10; int() converts a float to an integer.{all_rows} To get the "
            "last rows, reverse the order: t.order_by(t.n.desc()).limit(3)."
            if number is not None
            else f"For example 10; int() converts a string or a float to an integer.{all_rows}",
        )
    return number


def check_sample(fraction: object, method: object, seed: object, query: ir.Table) -> None:
    """Check the arguments of a sample of rows.

    Raises
    ------
    ExpressionError
        If the fraction is not between 0 and 1, or the method or the seed is invalid.
    """
    if not _is_fraction(fraction):
        raise ExpressionError(
            "sample() takes a fraction of the rows, between 0 and 1.",
            table=table_name(query),
            value=fraction,
            hint="Write t.sample(0.1) for about a tenth of the rows, or "
            "t.order_by(ibis.random()).limit(3) for a number of random rows.",
        )
    if method not in _METHODS:
        raise ExpressionError(
            f"method= of sample() must be one of {', '.join(map(repr, _METHODS))}.",
            table=table_name(query),
            value=method,
            hint="'row' samples single rows; 'block' is faster and samples blocks of rows.",
        )
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
        raise ExpressionError(
            "seed= of sample() must be an integer.",
            table=table_name(query),
            value=seed,
            hint="The same seed selects the same rows: t.sample(0.1, seed=42).",
        )


def check_index(key: object, query: ir.Table) -> None:
    """Refuse a key in brackets for which a query has no value before it runs.

    Raises
    ------
    ExpressionError
        For a cell, a slice with steps, or anything that names no column.
    """
    if isinstance(key, slice):
        whole_numbers = all(bound is None or _is_index(bound) for bound in (key.start, key.stop))
        if not whole_numbers or (key.step is not None and key.step != 1):
            raise ExpressionError(
                "a slice of a query takes integers and no step.",
                table=table_name(query),
                value=key,
                hint="Write t[10:20] or t.limit(10, offset=10); a result also takes a step, "
                "t.collect()[::2].",
            )
    elif isinstance(key, tuple) and any(isinstance(member, int) for member in key):
        raise ExpressionError(
            "a query has no cells before it is executed.",
            table=table_name(query),
            hint='Write t.collect()[0, "name"].',
        )
    elif key is None or isinstance(key, bool | float | bytes):
        raise ExpressionError(
            "columns are selected by name or position.",
            table=table_name(query),
            value=key,
            hint='Write t["name"], t[["name", "year"]] for several, t[0] for the first column, '
            "or t[0:10] for the first rows.",
        )


def _is_fraction(value: object) -> bool:
    if isinstance(value, bool | str | ir.Expr) or not isinstance(value, SupportsFloat):
        return False
    return 0 <= float(value) <= 1


def _is_index(value: object) -> bool:
    return isinstance(value, ir.IntegerScalar) or (
        hasattr(value, "__index__") and not isinstance(value, bool)
    )
