"""Errors about values: unsupported methods, operators and names, with alternatives.

Owns only the messages.
"""

from __future__ import annotations

from typing import TypedDict

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.common.annotations import SignatureValidationError

from barbule import nodes
from barbule.errors import ExpressionError
from barbule.relations.errors.conversion_hints import conversion, sort_of
from barbule.relations.errors.invalid_queries import argument_text, both_classes
from barbule.suggestions import did_you_mean

__all__ = [
    "OPERATOR_SYMBOLS",
    "described",
    "location",
    "no_attribute",
    "no_field",
    "no_operator",
    "not_a_text",
    "refused_method",
    "table_verb_hint",
]

OPERATOR_SYMBOLS = {
    "__add__": "+", "__sub__": "-", "__mul__": "*", "__truediv__": "/", "__floordiv__": "//",
    "__mod__": "%", "__pow__": "**", "__lshift__": "<<", "__rshift__": ">>",
    "__and__": "&", "__or__": "|", "__xor__": "^",
    "__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">=", "__eq__": "==", "__ne__": "!=",
}  # fmt: skip
_LOGICAL_NODES = (ops.And, ops.Or, ops.Xor, ops.BitwiseAnd, ops.BitwiseOr, ops.BitwiseXor)
_TABLE_VERBS = {name for name in dir(ir.Table) if not name.startswith("_")} | {
    "collect",
    "show",
    "where",
}
_METHOD_HINT = "help() shows the parameters of the method; cast() converts a value to another type."
_TYPES_HINT = "Types are bb.Int, bb.Float, bb.String and so on, or 'int64', 'float64', 'string'."
_METHOD_HINTS = {"cast": _TYPES_HINT, "try_cast": _TYPES_HINT}
_COMPARING_METHODS = {"between", "isin", "notin", "fill_null", "nullif", "identical_to"}


class _Location(TypedDict):
    table: str | None
    column: str | None


def location(value: ir.Value) -> _Location:
    """Return the table of a value, and its column name if it is a column, for errors."""
    op = value.op()
    names = {leaf.name for leaf in op.find(nodes.ManagedTable)}
    column = op.name if isinstance(op, ops.Field) else None
    return {"table": names.pop() if len(names) == 1 else None, "column": column}


def no_attribute(value: ir.Value, name: str) -> ExpressionError:
    """Return the error for a method or field that a value does not have."""
    kind = value.type()
    error = both_classes(ExpressionError, AttributeError)
    methods = [method for method in dir(type(value)) if not method.startswith("_")]
    if not isinstance(kind, dt.Struct):
        if name in _TABLE_VERBS:
            hint = table_verb_hint(value, name)
        else:
            hint = did_you_mean(name, methods) or f"dir() lists the methods of {kind}."
        return error(f"{kind} has no method {name!r}.", **location(value), hint=hint)
    return error(
        f"there is no field or method {name!r}.",
        **location(value),
        hint=f"{did_you_mean(name, [*kind.names, *methods])} Fields are {', '.join(kind.names)}; "
        'column["name"] reads any of them, even if a method has the same name.'.lstrip(),
    )


def table_verb_hint(value: ir.Value, verb: str) -> str:
    """Return the hint for a table method that was called on a value."""
    if isinstance(value, ir.Scalar):
        return (
            "It is a single value: .to_pyarrow().as_py() computes it, and "
            "t.agg(x=...).collect() returns a row."
        )
    is_field = isinstance(value.op(), ops.Field)
    column = f'"{value.get_name()}"' if is_field else "x=..."
    return f"It is a method of tables: t.select({column}).{verb}()."


def no_field(value: ir.StructValue, name: object) -> ExpressionError:
    """Return the error for a field that a struct does not have."""
    names = value.type().names
    error = both_classes(ExpressionError, KeyError)
    return error(
        f"there is no field {name!r}.",
        **location(value),
        hint=f"{did_you_mean(str(name), names)} Fields are {', '.join(names)}.".lstrip(),
    )


def refused_method(
    error: Exception, value: ir.Value, method: str, arguments: tuple[object, ...]
) -> ExpressionError:
    """Explain an Ibis error for the method of a value."""
    if isinstance(error, SignatureValidationError) or " object at 0x" in str(error):
        listed = ", ".join(map(described, arguments)) or "these arguments"
        message = f".{method}() of {described(value)} does not take {listed}"
    else:
        reason = " ".join(str(error).split()).rstrip(".")
        message = f".{method}() of {described(value)}: {reason}"
    hint = _METHOD_HINTS.get(method, _METHOD_HINT)
    if method in _COMPARING_METHODS and arguments:
        operands = arguments[0] if isinstance(arguments[0], list | tuple) else arguments
        hint = conversion(value, _of_other_sort(value, operands), "==")
    elif method == "concat":
        hint = conversion(value, _of_other_sort(value, arguments), "+")
    return _error_class(type(error))(f"{message}.", **location(value), hint=hint)


def _of_other_sort(value: ir.Value, operands: list[object] | tuple[object, ...]) -> object:
    """Return the first operand that cannot be combined with a value."""
    return next((operand for operand in operands if sort_of(operand) != sort_of(value)), value)


def not_a_text(value: ir.Value, method: str, argument: object) -> ExpressionError:
    """Return the error for a string method that got another type than a string."""
    several = isinstance(argument, list | tuple | set)
    return ExpressionError(
        f".{method}() of {described(value)} takes strings, not {argument_text(argument)}.",
        **location(value),
        hint="To match one of several, use t.s.isin(['a', 'b']), or t.s.re_search('a|b') to "
        "search within the string."
        if several
        else f"Write a string, {str(argument)!r}.",
    )


def no_operator(
    operator: str, left: object, right: object, ibis_error: type[Exception] | None = None
) -> ExpressionError:
    """Return the error for an operator that does not support two operands.

    Parameters
    ----------
    ibis_error
        The class of the Ibis error that was raised, if any.
    """
    value = next(operand for operand in (left, right) if isinstance(operand, ir.Value))
    symbol = OPERATOR_SYMBOLS[operator]
    return _error_class(ibis_error)(
        f"{symbol} is not supported between {described(left)} and {described(right)}.",
        **location(value),
        hint=_operator_hint(symbol, left, right),
    )


def _operator_hint(symbol: str, left: object, right: object) -> str:
    values = [operand for operand in (left, right) if isinstance(operand, ir.Value)]
    logical = any(isinstance(value.op(), _LOGICAL_NODES) for value in values)
    if symbol in {"&", "|", "^"} or logical:
        return (
            "Put comparisons in parentheses, because & and | bind more tightly: (t.a > 1) "
            "& (t.b < 2)."
        )
    return conversion(left, right, symbol)


def _error_class(ibis_error: type[Exception] | None) -> type[ExpressionError]:
    """Choose a class that handlers of Ibis errors catch too, if possible."""
    if ibis_error is None or issubclass(ibis_error, SignatureValidationError):
        return ExpressionError
    return both_classes(ExpressionError, ibis_error)


def described(value: object) -> str:
    """Format an operand for messages: a column with its type."""
    if isinstance(value, ir.Value):
        return f"{value.get_name()!r} ({value.type()})"
    return argument_text(value)
