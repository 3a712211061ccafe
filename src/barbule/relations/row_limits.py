"""Numbers of rows, fractions and slices that verbs of queries take, checked.

Owns the checks alone. Ibis makes a whole number of any argument, of "3", 1.5 and True too.
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
    """Return a number of rows, as int; an expression as it is.

    Parameters
    ----------
    parameter
        The verb or keyword that takes it, for errors: "limit()" or "offset=".
    unlimited
        Whether None stands for all rows.

    Raises
    ------
    ExpressionError
        When it is no whole number that is zero or more.
    """
    if isinstance(value, ir.Scalar) and isinstance(value.op(), ops.Literal):
        value = value.op().value
    if (value is None and unlimited) or isinstance(value, ir.IntegerScalar | Deferred | Resolver):
        return value
    if isinstance(value, ir.Value):
        raise ExpressionError(
            f"{parameter} takes one number, and {value.get_name()!r} is {value.type()}"
            f"{', with a value for each row' if isinstance(value, ir.Column) else ''}.",
            table=table_name(query),
            hint="Write a whole number, 10, or one that is computed: t.limit(t.count() // 2).",
        )
    number = None
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        with suppress(TypeError):
            number = operator.index(value)
    if number is None or number < 0:
        all_rows = " None stands for all rows." if unlimited else ""
        raise ExpressionError(
            f"{parameter} takes a number of rows: a whole number that is zero or more.",
            table=table_name(query),
            value=value,
            hint=f"Write 10, say; int() makes a whole number.{all_rows} The last rows are the "
            "first in the other order: t.order_by(t.n.desc()).limit(3)."
            if number is not None
            else f"Write 10, say; int() makes a whole number of a text or a float.{all_rows}",
        )
    return number


def check_sample(fraction: object, method: object, seed: object, query: ir.Table) -> None:
    """Check the arguments of a sample of rows.

    Raises
    ------
    ExpressionError
        When the fraction is not between 0 and 1, or the method or the seed is none.
    """
    if not _is_fraction(fraction):
        raise ExpressionError(
            "sample() takes the fraction of the rows that is wanted, between 0 and 1.",
            table=table_name(query),
            value=fraction,
            hint="Write t.sample(0.1) for about a tenth of the rows; some at random are "
            "t.order_by(ibis.random()).limit(3).",
        )
    if method not in _METHODS:
        raise ExpressionError(
            f"method= of sample() is one of {', '.join(map(repr, _METHODS))}.",
            table=table_name(query),
            value=method,
            hint="'row' chooses row by row, 'block' is faster and chooses stretches of rows.",
        )
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
        raise ExpressionError(
            "seed= of sample() is a whole number.",
            table=table_name(query),
            value=seed,
            hint="With the same one the same rows are chosen: t.sample(0.1, seed=42).",
        )


def check_index(key: object, query: ir.Table) -> None:
    """Refuse a key in brackets of which a query has no value before it runs.

    Raises
    ------
    ExpressionError
        For a cell, a slice with steps, or anything that names no column.
    """
    if isinstance(key, slice):
        whole_numbers = all(bound is None or _is_index(bound) for bound in (key.start, key.stop))
        if not whole_numbers or (key.step is not None and key.step != 1):
            raise ExpressionError(
                "rows of a query are taken by whole numbers, one after the other.",
                table=table_name(query),
                value=key,
                hint="Write t[10:20], or t.limit(10, offset=10); of a result also "
                "t.collect()[::2].",
            )
    elif isinstance(key, tuple) and any(isinstance(member, int) for member in key):
        raise ExpressionError(
            "a query has no cells before it runs.",
            table=table_name(query),
            hint='Write t.collect()[0, "name"].',
        )
    elif key is None or isinstance(key, bool | float | bytes):
        raise ExpressionError(
            "columns are taken by name or place.",
            table=table_name(query),
            value=key,
            hint='Write t["name"], t[["name", "year"]] for some of them, t[0] for the first '
            "column, or t[0:10] for the first rows.",
        )


def _is_fraction(value: object) -> bool:
    if isinstance(value, bool | str | ir.Expr) or not isinstance(value, SupportsFloat):
        return False
    return 0 <= float(value) <= 1


def _is_index(value: object) -> bool:
    return isinstance(value, ir.IntegerScalar) or (
        hasattr(value, "__index__") and not isinstance(value, bool)
    )
