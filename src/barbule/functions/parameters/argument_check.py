"""Validation of arguments against the parameters of a function when an expression is built.

Owns which types a parameter takes, which conversions are made for it, and the errors for others.
The function itself checks values that only the rows have (for example of Json).
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.errors import ExpressionError
from barbule.functions.parameters.parameter import Parameter
from barbule.nodes import ManagedTable, media_literal
from barbule.types import Document, Media, declaration
from barbule.types.declarations import by_pair
from barbule.types.declarations.entries import DECLARATIONS

__all__ = ["distance", "fit_arguments"]

# The distance of an argument from the type of a parameter: overloads are chosen by the sum.
_SAME, _WIDER, _ANY = 0, 1, 4


class _Callee(Protocol):
    """A function, as far as its parameters are concerned."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def parameters(self) -> tuple[Parameter, ...]: ...
    @property
    def signature(self) -> inspect.Signature: ...


def fit_arguments(function: _Callee, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Check bound arguments, and convert those that can be converted.

    Returns
    -------
    tuple
        The arguments, and their distance from the types of the parameters; 0 for the same types.

    Raises
    ------
    ExpressionError
        If one does not match; it names function, parameter, table and column.
    """
    parameters = {parameter.name: parameter for parameter in function.parameters}
    keywords_parameter = _keywords_parameter(function, parameters)
    converted: dict[str, Any] = {}
    total = 0
    for name, value in arguments.items():
        parameter = parameters.get(name.removeprefix("*"), keywords_parameter)
        if parameter is None:
            converted[name] = value
        elif name.startswith("*"):
            pairs = [_fit(function, parameter, item) for item in value]
            converted[name] = [item for item, _ in pairs]
            total += sum(cost for _, cost in pairs)
        else:
            converted[name], cost = _fit(function, parameter, value)
            total += cost
    return converted, total


def _keywords_parameter(function: _Callee, parameters: Mapping[str, Parameter]) -> Parameter | None:
    """Return the parameter that takes keywords of any name."""
    for name, parameter in function.signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return parameters.get(name)
    return None


def _fit(function: _Callee, parameter: Parameter, value: object) -> tuple[object, int]:
    value = value.to_expr() if isinstance(value, ops.Value) else _storable(value)
    if isinstance(value, ir.Table):
        raise _misfit(function, parameter, "a table", value, hint="Pass a column of that type.")
    if function.kind == "batch" and not parameter.batched and isinstance(value, ir.Column):
        raise _misfit(
            function,
            parameter,
            "one value for the whole batch, but this is a column",
            value,
            hint="Annotate it as a list to take a value for each row, or pass a constant.",
        )
    if parameter.dtype is None:
        return value, _ANY
    if isinstance(value, ir.Value):
        return _fit_expression(function, parameter, parameter.dtype, value)
    return _fit_constant(function, parameter, parameter.dtype, value)


def _storable(value: Any) -> object:
    """Convert objects to values that a stored call can hold."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if inspect.isclass(value) or isinstance(value, ir.Expr):  # whose names may be anything
        return value
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: _storable(getattr(value, field.name)) for field in fields}
    if hasattr(value, "model_dump"):
        return {name: _storable(item) for name, item in dict(value).items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _storable(item) for name, item in value._asdict().items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_storable(item) for item in value]
    return value


def _fit_expression(
    function: _Callee, parameter: Parameter, target: dt.DataType, value: ir.Value
) -> tuple[ir.Value, int]:
    source = value.type()
    cost = distance(source, target)
    if cost is None:
        raise _misfit(
            function,
            parameter,
            f"{target}, but {value.get_name()!r} is {source}",
            value,
            hint=f"Convert it, or change the annotation of {parameter.name!r}.",
        )
    if type(target) is dt.String and declaration(source).modality == "image":
        return ops.Cast(value.op(), Document()).to_expr(), cost  # which is passed as a local path
    if declaration(target).is_media and not declaration(source).is_media:
        return ops.Cast(value.op(), target).to_expr(), cost
    if isinstance(target, dt.Floating) and isinstance(source, dt.Integer | dt.Decimal):
        return value.cast(target), cost
    return value, cost


def distance(source: dt.DataType, target: dt.DataType) -> int | None:
    """Return the distance of a type from one that takes its values; None if it does not take them.

    Examples
    --------
    >>> distance(dt.int64, dt.float64), distance(dt.float64, dt.int64)
    (1, None)
    """
    source, target = source.copy(nullable=True), target.copy(nullable=True)
    if source == target:
        return _SAME
    if isinstance(source, dt.Null | dt.JSON):
        return _ANY
    if declaration(target).json == "json":
        return _WIDER if declaration(source).is_nested else _ANY
    if isinstance(source, dt.Array) and isinstance(target, dt.Array):
        if None not in {source.length, target.length} and source.length != target.length:
            return None
        return distance(source.value_type, target.value_type)
    if isinstance(source, dt.Struct) and isinstance(target, dt.Struct):
        return _struct_distance(source, target)
    return _scalar_distance(source, target)


def _struct_distance(source: dt.Struct, target: dt.Struct) -> int | None:
    if target.fields.keys() - source.fields.keys():
        return None
    total = int(source.names != target.names)
    for name, dtype in target.fields.items():
        cost = distance(source[name], dtype)
        if cost is None:
            return None
        total += cost
    return total


def _scalar_distance(source: dt.DataType, target: dt.DataType) -> int | None:
    if declaration(target).is_media:
        return _WIDER if type(source) is dt.String else None
    if type(target) is dt.String:
        return _WIDER if isinstance(source, dt.String) else None
    if declaration(target).family == "number":
        return by_pair(_NUMBERS, target, source)
    same = type(source) is type(target) and not declaration(target).is_nested
    return _SAME if same else None


# The types of numbers whose values are taken as numbers of another type, and their distances.
_NUMBERS: dict[type[dt.DataType], dict[type[dt.DataType], int]] = {
    dt.Floating: {dt.Floating: _SAME, dt.Integer: _WIDER, dt.Decimal: _WIDER},
    dt.Integer: {dt.Integer: _SAME, dt.Boolean: _WIDER},
    dt.Decimal: {dt.Integer: _WIDER, dt.Decimal: _WIDER},
}
# The types of Python's constants, for the parameters that take single values.
_CONSTANTS: dict[type, dt.DataType] = {
    entry.annotations[0]: entry.make()
    for entry in DECLARATIONS
    if entry.annotations and entry.json != "json"
}


def _fit_constant(
    function: _Callee, parameter: Parameter, target: dt.DataType, value: object
) -> tuple[object, int]:
    if value is None:
        if parameter.nullable:
            return None, _WIDER
        hint = f"Annotate {parameter.name!r} as optional (… | None), or pass a value."
        raise _misfit(function, parameter, f"{target}, but this is None", value, hint=hint)
    if isinstance(target, Media):
        return _media_constant(target, value), _WIDER
    if declaration(target).json == "json":
        return value, _ANY
    cost = _constant_distance(value, target)
    if cost is None:
        hint = f"Pass another value, or change the annotation of {parameter.name!r}."
        raise _misfit(function, parameter, str(target), value, hint=hint)
    return value, cost


def _constant_distance(value: object, target: dt.DataType) -> int | None:
    for python_type in type(value).__mro__:  # of which bool comes before int
        if python_type in _CONSTANTS:
            return distance(_CONSTANTS[python_type], target)
    if isinstance(value, Mapping):
        return _WIDER if isinstance(target, dt.Struct | dt.Map) else None
    if isinstance(value, list | tuple):
        return _WIDER if isinstance(target, dt.Array) else None
    return _ANY  # of another library: it is checked where it is used


def _media_constant(dtype: Media, value: object) -> object:
    if isinstance(value, str):
        return ibis.literal(value, dtype)
    if isinstance(value, bytes):
        return media_literal(value, "application/octet-stream", dtype).to_expr()
    return value  # a PIL image


def _misfit(
    function: _Callee, parameter: Parameter, takes: str, value: object, *, hint: str
) -> ExpressionError:
    table = column = None
    if isinstance(value, ir.Value):
        leaves = {leaf.name for leaf in value.op().find(ManagedTable)}
        table = leaves.pop() if len(leaves) == 1 else None
        column = value.get_name() if isinstance(value.op(), ops.Field) else None
    return ExpressionError(
        f"{function.name}: the parameter {parameter.name!r} takes {takes}.",
        table=table,
        column=column,
        value=None if isinstance(value, ir.Expr) else value,
        hint=hint,
    )
