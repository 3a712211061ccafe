"""The parameters and the result type of a function, read from its signature and annotations."""

from __future__ import annotations

import functools
import inspect
import types as pytypes
import typing
from collections.abc import Callable, Mapping
from typing import Any

import ibis.expr.datatypes as dt

from barbule import types
from barbule.errors import ExpressionError, SchemaError
from barbule.functions.identity.code import qualified_name
from barbule.functions.parameters.argument_objects import converter, is_array
from barbule.functions.parameters.parameter import Parameter

__all__ = ["hints_of", "parameters_of", "return_type_of", "signature_of"]


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function, resolved where they are strings.

    Raises
    ------
    SchemaError
        If an annotation cannot be resolved.
    """
    if isinstance(function, functools.partial):
        return hints_of(function.func)
    if not inspect.isroutine(function) and not inspect.isclass(function):  # an object
        function = getattr(function, "__wrapped__", None) or type(function).__call__
    try:
        return inspect.get_annotations(function, eval_str=True)
    except NameError as error:
        raise SchemaError(
            f"an annotation of {qualified_name(function)} cannot be resolved: {error}.",
            hint="Import what the annotation names before the function is defined.",
        ) from error


def parameters_of(
    function: Callable[..., Any], hints: Mapping[str, Any], *, batched: bool
) -> tuple[Parameter, ...]:
    """Return the parameters of a function; those of a batch function take lists, an item a row.

    Raises
    ------
    SchemaError
        If an annotation is not a column type; the error names the parameter.
    """
    return tuple(
        _parameter(name, hints.get(name), parameter.default, batched=batched)
        for name, parameter in signature_of(function).parameters.items()
    )


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a function.

    Raises
    ------
    ExpressionError
        If Python has none, as for some built-in functions.
    """
    try:
        return inspect.signature(function)
    except ValueError as error:
        name = qualified_name(function)
        raise ExpressionError(
            f"the parameters of {name} are unknown: Python has no signature for it.",
            hint=f"Wrap it: lambda value: {name.rpartition('.')[2]}(value).",
        ) from error


def _parameter(name: str, hint: object, default: object, *, batched: bool) -> Parameter:
    takes_constants = hint is None and default is not inspect.Parameter.empty
    takes_rows = batched and (hint is None or hint is list or typing.get_origin(hint) is list)
    if takes_rows:
        items = typing.get_args(hint)
        hint = items[0] if items else None
    nullable = default is None or _is_optional(hint)
    is_typed = hint is not None and hint is not inspect.Parameter.empty and not is_array(hint)
    return Parameter(
        name,
        dtype=_dtype(name, hint) if is_typed else None,
        nullable=nullable,
        batched=takes_rows,
        convert=converter(hint),
        hint=hint,
        takes_constants=takes_constants,
    )


def _dtype(name: str, hint: object) -> dt.DataType:
    try:
        return types.dtype(hint)
    except SchemaError as error:
        raise error.at(column=name) from error.__cause__


def _is_optional(hint: object) -> bool:
    if isinstance(hint, dt.DataType) or hint is None:
        return False
    if typing.get_origin(hint) in {typing.Union, pytypes.UnionType}:
        return type(None) in typing.get_args(hint)
    return hint is Any


def return_type_of(hint: object, declared: object, *, batched: bool) -> dt.DataType:
    """Return the type of a result; `declared` is more specific than an annotation.

    Raises
    ------
    SchemaError
        If it is not a column type, or not a list for a batch function.
    """
    returns = declared if declared is not None else hint
    if returns is None or (batched and returns is list):
        return types.Json()
    dtype = types.dtype(returns)
    if not batched:
        return dtype
    if not isinstance(dtype, dt.Array):
        raise SchemaError(
            "a batch function must return a list with one result for each row.",
            value=returns,
            hint="Annotate the result as list[...], or pass return_type=bb.Array(...).",
        )
    return dtype.value_type
