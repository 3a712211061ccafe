"""Whether arguments fit the parameters of a function, seen when an expression is built.

Owns which types a parameter takes, which conversions are made for it, and what is said of the
rest. Values that only the rows tell (of Json, say) are checked by the function itself.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import pathlib
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.errors import ExpressionError
from barbule.nodes import ManagedTable, media_literal
from barbule.types import Document, Duration, Image, Json, Media

if TYPE_CHECKING:
    from barbule.functions.registry import Function, Parameter

__all__ = ["fitted"]

# How far an argument is from what a parameter takes: overloads are chosen by the sum.
_SAME, _WIDER, _ANY = 0, 1, 4


def fitted(function: Function, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Check bound arguments, and convert what can be converted.

    Returns
    -------
    tuple
        The arguments, and how far they were from what the function takes; 0 is exactly it.

    Raises
    ------
    ExpressionError
        When one does not fit; it names function, parameter, table and column.
    """
    known = {each.name: each for each in function.parameters}
    rest = _rest(function)
    made: dict[str, Any] = {}
    far = 0
    for name, value in arguments.items():
        parameter = known.get(name.removeprefix("*"), rest)
        if parameter is None:
            made[name] = value
        elif name.startswith("*"):
            pairs = [_fit(function, parameter, each) for each in value]
            made[name] = [each for each, _ in pairs]
            far += sum(cost for _, cost in pairs)
        else:
            made[name], cost = _fit(function, parameter, value)
            far += cost
    return made, far


def _rest(function: Function) -> Parameter | None:
    """Return the parameter that takes keywords of any name."""
    for name, each in function.signature.parameters.items():
        if each.kind is inspect.Parameter.VAR_KEYWORD:
            return next((known for known in function.parameters if known.name == name), None)
    return None


def _fit(function: Function, parameter: Parameter, value: Any) -> tuple[Any, int]:
    value = value.to_expr() if isinstance(value, ops.Value) else _plain(value)
    if isinstance(value, ir.Table):
        raise _misfit(function, parameter, "a table", value, hint="Give a column of it.")
    if function.kind == "batch" and not parameter.batched and isinstance(value, ir.Column):
        raise _misfit(
            function,
            parameter,
            "one value for a whole batch, and this is a column",
            value,
            hint="Annotate it as a list for a value of each row, or give a constant.",
        )
    if parameter.kind is None:
        return value, _ANY
    if isinstance(value, ir.Expr):
        return _fit_expression(function, parameter, value)
    return _fit_constant(function, parameter, value)


def _plain(value: Any) -> Any:
    """Turn objects into what a stored call can hold."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if inspect.isclass(value) or isinstance(value, ir.Expr):  # whose names may be anything
        return value
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {each.name: _plain(getattr(value, each.name)) for each in fields}
    if hasattr(value, "model_dump"):
        return {name: _plain(each) for name, each in dict(value).items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(each) for name, each in value._asdict().items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value


def _fit_expression(function: Function, parameter: Parameter, value: Any) -> tuple[Any, int]:
    wanted, given = parameter.kind, value.type()
    assert wanted is not None
    far = distance(given, wanted)
    if far is None:
        raise _misfit(
            function,
            parameter,
            f"{wanted}, and {_called(value)} is {given}",
            value,
            hint=f"Convert it, or annotate {parameter.name!r} otherwise.",
        )
    if type(wanted) is dt.String and isinstance(given, Image):
        return ops.Cast(value.op(), Document()).to_expr(), far  # which arrives as a local path
    if isinstance(wanted, Media) and not isinstance(given, Media):
        return ops.Cast(value.op(), wanted).to_expr(), far
    if isinstance(wanted, dt.Floating) and isinstance(given, dt.Integer | dt.Decimal):
        return value.cast(wanted), far
    return value, far


def distance(given: dt.DataType, wanted: dt.DataType) -> int | None:
    """Say how far a type is from one that takes its values; None where it does not.

    Examples
    --------
    >>> distance(dt.int64, dt.float64), distance(dt.float64, dt.int64)
    (1, None)
    """
    given, wanted = given.copy(nullable=True), wanted.copy(nullable=True)
    if given == wanted:
        return _SAME
    if isinstance(given, dt.Null | dt.JSON):
        return _ANY
    if isinstance(wanted, Json | dt.JSON):
        return _WIDER if isinstance(given, dt.Struct | dt.Array | dt.Map) else _ANY
    if isinstance(given, dt.Array) and isinstance(wanted, dt.Array):
        if None not in {given.length, wanted.length} and given.length != wanted.length:
            return None
        return distance(given.value_type, wanted.value_type)
    if isinstance(given, dt.Struct) and isinstance(wanted, dt.Struct):
        if wanted.fields.keys() - given.fields.keys():
            return None
        far = [distance(given[name], kind) for name, kind in wanted.fields.items()]
        return None if None in far else sum(map(int, far)) + (given.names != wanted.names)  # type: ignore[arg-type]
    return _scalar_distance(given, wanted)


def _scalar_distance(given: dt.DataType, wanted: dt.DataType) -> int | None:
    if isinstance(wanted, Media):
        return _WIDER if type(given) is dt.String else None
    if type(wanted) is dt.String:
        return _WIDER if isinstance(given, dt.String) else None
    if isinstance(wanted, dt.Floating):
        if isinstance(given, dt.Floating):
            return _SAME
        return _WIDER if isinstance(given, dt.Integer | dt.Decimal) else None
    if isinstance(wanted, dt.Integer):
        if isinstance(given, dt.Integer):
            return _SAME
        return _WIDER if isinstance(given, dt.Boolean) else None
    if isinstance(wanted, dt.Decimal):
        return _WIDER if isinstance(given, dt.Integer | dt.Decimal) else None
    return _SAME if type(given) is type(wanted) and not wanted.is_nested() else None


# What constants of Python are, for the parameters that take single values; bool before int.
_CONSTANTS: tuple[tuple[type | tuple[type, ...], dt.DataType], ...] = (
    (bool, dt.boolean),
    (int, dt.int64),
    (float, dt.float64),
    (str, dt.string),
    (bytes, dt.binary),
    (datetime.datetime, dt.timestamp),
    (datetime.date, dt.date),
    (datetime.time, dt.time),
    (datetime.timedelta, Duration),
    (decimal.Decimal, dt.Decimal()),
    (uuid.UUID, dt.uuid),
)


def _fit_constant(function: Function, parameter: Parameter, value: Any) -> tuple[Any, int]:
    wanted = parameter.kind
    assert wanted is not None
    if value is None:
        if parameter.nullable:
            return None, _WIDER
        hint = f"Annotate {parameter.name!r} as optional (… | None), or give a value."
        raise _misfit(function, parameter, f"{wanted}, and this is None", value, hint=hint)
    if isinstance(wanted, Media):
        return _media_constant(wanted, value), _WIDER
    if isinstance(wanted, dt.JSON):
        return value, _ANY
    plain = next((kind for known, kind in _CONSTANTS if isinstance(value, known)), None)
    takes_items = isinstance(wanted, dt.Array)
    takes_fields = isinstance(wanted, dt.Struct | dt.Map)
    if plain is not None:
        far = distance(plain, wanted)
    elif isinstance(value, Mapping):
        far = _WIDER if takes_fields else None
    elif isinstance(value, list | tuple):
        far = _WIDER if takes_items else None
    else:
        far = _ANY  # of another library: it is checked where it is used
    if far is None:
        hint = f"Give another value, or annotate {parameter.name!r} otherwise."
        raise _misfit(function, parameter, str(wanted), value, hint=hint)
    return value, far


def _media_constant(kind: Media, value: Any) -> Any:
    if isinstance(value, str):
        return ibis.literal(value, kind)
    if isinstance(value, bytes):
        return media_literal(value, "application/octet-stream", kind).to_expr()
    return value  # a PIL image


def _called(value: ir.Value) -> str:
    return repr(value.get_name())


def _misfit(
    function: Function, parameter: Parameter, takes: str, value: Any, *, hint: str
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
