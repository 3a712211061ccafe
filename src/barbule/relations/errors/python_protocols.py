"""Errors for uses of queries and columns as Python containers and numbers.

Owns the messages for assignment and deletion of items and attributes, and for `int()`, `float()`
and `len()` of values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.errors import BarbuleError, ExpressionError
from barbule.relations.errors.invalid_queries import both_classes, table_name
from barbule.relations.errors.value_errors import location
from barbule.types import declaration

__all__ = ["ConversionError", "UnassignableQuery", "UnassignableValue", "Unconvertible"]


class ConversionError(ExpressionError):
    """A column or another expression was converted to a Python number."""


class UnassignableQuery:
    """The errors of a table or query whose columns are assigned or deleted."""

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers refuse these uses themselves

        def __setitem__(self, key: object, value: object) -> NoReturn:
            raise _assignment_error(self, key, TypeError)

        def __setattr__(self, name: str, value: object) -> NoReturn:
            raise _assignment_error(self, name, AttributeError)

        def __delitem__(self, key: object) -> NoReturn:
            raise _deletion_error(self, key, TypeError)

        def __delattr__(self, name: str) -> NoReturn:
            raise _deletion_error(self, name, AttributeError)


class UnassignableValue:
    """The errors of a column or scalar whose items or attributes are assigned or deleted."""

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers refuse these uses themselves

        def __setitem__(self, key: object, value: object) -> NoReturn:
            raise _value_error(self, TypeError)

        def __setattr__(self, name: str, value: object) -> NoReturn:
            raise _value_error(self, AttributeError)

        def __delitem__(self, key: object) -> NoReturn:
            raise _value_error(self, TypeError)

        def __delattr__(self, name: str) -> NoReturn:
            raise _value_error(self, AttributeError)


class Unconvertible:
    """The errors of a column or scalar that is converted to a Python number.

    There is no `__index__`: objects that have it are accepted as integers.
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers refuse these uses themselves

        def __int__(self) -> NoReturn:
            raise _conversion_error(self, "int()", 'cast("int64")')

        def __float__(self) -> NoReturn:
            raise _conversion_error(self, "float()", 'cast("float64")')

        def __len__(self) -> NoReturn:
            raise _conversion_error(self, "len()", "length()")


def _assignment_error(query: Any, key: object, python_error: type[Exception]) -> ExpressionError:
    table = table_name(query)
    keyword = key if isinstance(key, str) and key.isidentifier() else None
    arguments = f"{keyword}=..." if keyword else f"**{{{_key_text(key)}: ...}}"
    derived = f"t.mutate({arguments}) returns a query with the column."
    if table is None:
        hint = derived
    elif _is_column(query, key):
        hint = f"t.update({{{key!r}: ...}}) changes the values of the column; {derived}"
    else:
        hint = f"t.add_computed_column({arguments}) adds the column to the table; {derived}"
    return both_classes(ExpressionError, python_error)(
        "columns cannot be assigned.", table=table, column=_column(key), hint=hint
    )


def _deletion_error(query: Any, key: object, python_error: type[Exception]) -> ExpressionError:
    table = table_name(query)
    name = _key_text(key)
    derived = f"t.drop({name}) returns a query without the column."
    hint = derived if table is None else f"t.drop_column({name}) removes it; {derived}"
    return both_classes(ExpressionError, python_error)(
        "columns cannot be deleted with del.", table=table, column=_column(key), hint=hint
    )


def _column(key: object) -> str | None:
    return key if isinstance(key, str) else None


def _key_text(key: object) -> str:
    """Format a key, or a placeholder for a key that is not the name of a column."""
    return repr(key) if isinstance(key, str) else '"name"'


def _is_column(query: ir.Table, key: object) -> bool:
    try:
        return key in query.columns
    except BarbuleError:  # of a table that was dropped
        return False


def _value_error(value: Any, python_error: type[Exception]) -> ExpressionError:
    column = value.get_name() if isinstance(value.op(), ops.Field) else "a"
    return both_classes(ExpressionError, python_error)(
        "an expression cannot be changed: its values cannot be assigned or deleted.",
        **location(value),
        hint=f"t.update({{{column!r}: ...}}, where=...) changes the values of a column.",
    )


def _conversion_error(value: Any, function: str, method: str) -> ConversionError:
    name = value.get_name() if isinstance(value.op(), ops.Field) else "a"
    single = isinstance(value, ir.Scalar)
    reason = "has no value before it is executed" if single else "has one value for each row"
    computed = f"t.select(x=t.{name}).collect()['x'] returns the list of its values"
    if single:
        hint = f"Execute it first: {function[:-1]}expression.to_pyarrow().as_py())."
    elif function == "len()" and not _has_length(value):
        hint = f"t.count() counts the rows; {computed}."
    else:
        hint = (
            f"Write t.{name}.{method}, or use @bb.udf for a Python function that is called with "
            f"the value of each row; {computed}."
        )
    return ConversionError(
        f"{function} returns a single number, but this expression {reason}.",
        **location(value),
        hint=hint,
    )


def _has_length(value: ir.Value) -> bool:
    return declaration(value.type()).sized
