"""Functions passed instead of an expression, called with their table.

Owns the errors if such a function fails, or if a type is passed instead.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

from barbule.errors import BarbuleError, ExpressionError
from barbule.relations.errors.python_protocols import ConversionError
from barbule.relations.errors.refused_arguments import refuse_methods

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from barbule.tables.arguments import Expression

__all__ = ["resolve_expression"]


_FUNCTION_TYPES = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    functools.partial,
)


def resolve_expression(
    table: ir.Table, expression: Expression | None, column: str | None = None
) -> Expression | None:
    """Call a function with its table and return its expression; return others unchanged.

    Parameters
    ----------
    column
        The column that the expression is for; None for a condition.

    Raises
    ------
    ExpressionError
        If the function fails, or a type is passed.

    Examples
    --------
    >>> import ibis
    >>> table = ibis.table({"n": "int64"}, name="t")
    >>> resolve_expression(table, lambda t: t.n + 1).get_name()
    'Add(n, 1)'
    """
    if isinstance(expression, type | dt.DataType):
        raise ExpressionError(
            "this is a type, not an expression.",
            table=table.get_name(),
            column=column,
            value=expression,
            hint='Write an expression with columns, t.a + 1; add_columns({"name": type}) adds a '
            "data column to the table.",
        )
    if not isinstance(expression, _FUNCTION_TYPES):
        return expression
    refuse_methods((expression,), table)
    try:
        return expression(table)
    except ConversionError as error:
        raise _failed(f"TypeError: {error.message}", table, column) from error
    except BarbuleError:
        raise
    except Exception as error:
        raise _failed(f"{type(error).__name__}: {error}", table, column) from error


def _failed(reason: str, table: ir.Table, column: str | None) -> ExpressionError:
    return ExpressionError(
        f"the function that returns the expression failed: {reason.rstrip('.')}.",
        table=table.get_name(),
        column=column,
        hint="It is called once, with the table: lambda t: t.a + 1. Use @bb.udf for a "
        "function that is called with the values of a row.",
    )
