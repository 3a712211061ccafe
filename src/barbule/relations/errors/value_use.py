"""What is said when a value of a query is used as Python's own values are, or misspelt.

Owns the class of columns and scalars that explain it. They are those of Ibis in all else, and
what their methods and operators return is of this class too.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, NoReturn

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz
import ibis.expr.types as ir
from ibis.common.annotations import SignatureValidationError

from barbule import nodes
from barbule.errors import BarbuleError, ExpressionError, unpicklable
from barbule.relations.errors.conversion_hints import conversion, sort_of
from barbule.relations.errors.formatted_strings import Formatted
from barbule.relations.errors.invalid_queries import REFUSALS, both_classes, shown_argument
from barbule.relations.methods.slices import ListMethods, list_of_row, repeated, repeats
from barbule.relations.methods.temporal import (
    DateMethods,
    DurationColumnMethods,
    DurationMethods,
    MomentMethods,
)
from barbule.relations.methods.text import TextMethods, unwrapped, written_out
from barbule.relations.promotion import with_sign
from barbule.suggestions import did_you_mean

__all__ = ["CheckedValue", "add_checks", "checked", "checked_class"]

_OPERATORS = {
    "__add__": "+", "__sub__": "-", "__mul__": "*", "__truediv__": "/", "__floordiv__": "//",
    "__mod__": "%", "__pow__": "**", "__lshift__": "<<", "__rshift__": ">>",
    "__and__": "&", "__or__": "|", "__xor__": "^",
    "__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">=", "__eq__": "==", "__ne__": "!=",
}  # fmt: skip
_COMPARISONS = {
    "__lt__": "__gt__", "__le__": "__ge__", "__gt__": "__lt__", "__ge__": "__le__",
    "__eq__": "__eq__", "__ne__": "__ne__",
}  # fmt: skip
_REFLECTED = {name: _COMPARISONS.get(name, f"__r{name[2:]}") for name in _OPERATORS}
_FORWARD = {_REFLECTED[name]: name for name in _OPERATORS if name not in _COMPARISONS}
_BY_IDENTITY = {"__eq__", "__ne__"}  # Python answers by itself where these do not
_UNARY = {"__invert__": "~", "__neg__": "-", "__abs__": "abs()", "__round__": "round()"}
_OTHER_OPERATORS = {"__getitem__", "__call__", *_UNARY}
# What Ibis and the conversion of arguments raise of values that do not fit.
_MISFITS = (*REFUSALS, TypeError, ValueError, NotImplementedError)
_COMBINED = (ops.And, ops.Or, ops.Xor, ops.BitwiseAnd, ops.BitwiseOr, ops.BitwiseXor)


_NOT_RUN = (
    "This is an expression that has not run: t.select(x=...).collect() returns its values with the "
    "rows of a query, .to_pyarrow() computes it alone."
)


class CheckedValue(Formatted):
    """What columns and scalars say where Python would ask for a value, or finds no such name."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise unpicklable("a column or another expression")

    def __bool__(self) -> bool:
        """Refuse: there is a value for each row, and none before the query runs."""
        raise both_classes(ExpressionError, ValueError)(
            "an expression is neither true nor false before it is computed, as `and`, `or`, "
            "`not`, `in`, `if`, `max` and chained comparisons would have it.",
            **_where(self),
            hint="Write (t.a > 1) & (t.b < 2), each comparison in parentheses; | for or, ~ for "
            "not; t.a.isin([1, 2]) for in; t.a.between(1, 5) for 1 <= t.a <= 5; "
            "condition.ifelse(x, y) for if; ibis.greatest(t.a, t.b) for max.",
        )

    def __contains__(self, item: Any) -> bool:
        """Refuse: there is an answer for each row."""
        kind = self.type()
        holds = kind.is_string() or kind.is_array() or kind.is_map() or kind.is_json()
        raise ExpressionError(
            "`in` has one answer, and this expression has one for each row.",
            **_where(self),
            hint="Write t.a.contains(x) for whether the value of a row has x in it."
            if holds
            else "Write t.a.isin([1, 2]) for whether the value of a row is one of several, and "
            "(t.a == x).any() for whether any row has x.",
        )

    def __repr__(self) -> str:
        shown = super().__repr__()
        return shown if ibis.options.interactive else f"{shown}\n\n{_NOT_RUN}"

    def isin(self, values: Any, /) -> Any:
        """Say whether it is one of several values, of a list of its row, or of a column."""
        items = list_of_row(values, self)
        return super().isin(values) if items is None else items.contains(self)  # type: ignore[misc]

    def notin(self, values: Any, /) -> Any:
        """Say whether it is none of several values."""
        items = list_of_row(values, self)
        return super().notin(values) if items is None else ~items.contains(self)  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        try:
            return checked(super().__getattr__(name))  # type: ignore[misc]
        except AttributeError as error:
            if name.startswith("_"):
                raise
            raise _no_attribute(self, name) from error


def _where(value: Any) -> dict[str, Any]:
    """Say of which table a value is, and of which column where it is one."""
    op = value.op()
    names = {leaf.name for leaf in op.find(nodes.ManagedTable)}
    column = op.name if isinstance(op, ops.Field) else None
    return {"table": names.pop() if len(names) == 1 else None, "column": column}


def _no_attribute(value: Any, name: str) -> Any:
    kind = value.type()
    error = both_classes(ExpressionError, AttributeError)
    methods = [each for each in dir(type(value)) if not each.startswith("_")]
    if name in _VERBS and not isinstance(kind, dt.Struct):
        return error(
            f"{kind} has no method {name!r}.", **_where(value), hint=_of_table(value, name)
        )
    if not isinstance(kind, dt.Struct):
        hint = did_you_mean(name, methods) or f"dir() of it lists those of {kind}."
        return error(f"{kind} has no method {name!r}.", **_where(value), hint=hint)
    return error(
        f"there is no field or method {name!r}.",
        **_where(value),
        hint=f"{did_you_mean(name, [*kind.names, *methods])} Fields are {', '.join(kind.names)}; "
        'column["name"] reads any of them, also one that is called like a method.'.lstrip(),
    )


_VERBS = {each for each in dir(ir.Table) if not each.startswith("_")} | {"collect", "show", "where"}


def _of_table(value: Any, verb: str) -> str:
    """Say how a verb of tables is asked of a value."""
    if isinstance(value, ir.Scalar):
        return "It is one value: .to_pyarrow().as_py() computes it, t.agg(x=...).collect() a row."
    name = value.get_name() if isinstance(value.op(), ops.Field) else "..."
    made = f'"{name}"' if isinstance(value.op(), ops.Field) else "x=..."
    return f"It is a verb of tables: t.select({made}).{verb}()."


class ScalarMethods:
    """What a scalar says where it would be aggregated again."""

    __slots__ = ()

    def collect(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: the method of columns that makes one list of all values."""
        raise ExpressionError(
            "a scalar is one value, which has not been computed.",
            **_where(self),
            hint=_of_table(self, "collect"),
        )


def _no_field(value: Any, name: Any) -> Any:
    names = value.type().names
    error = both_classes(ExpressionError, KeyError)
    return error(
        f"there is no field {name!r}.",
        **_where(value),
        hint=f"{did_you_mean(str(name), names)} Fields are {', '.join(names)}.".lstrip(),
    )


def _refused(error: Exception, value: Any, method: str, arguments: tuple[Any, ...]) -> Any:
    """Say what an error of Ibis means for the method of a value."""
    if isinstance(error, SignatureValidationError) or " object at 0x" in str(error):
        given = ", ".join(map(_named, arguments)) or "these arguments"
        text = f".{method}() of {_named(value)} does not take {given}"
    else:
        text = f".{method}() of {_named(value)}: {' '.join(str(error).split()).rstrip('.')}"
    hint = _HINTS.get(method, _HINT)
    if method in _COMPARING and arguments:
        flat = arguments[0] if isinstance(arguments[0], list | tuple) else arguments
        other = next((each for each in flat if sort_of(each) != sort_of(value)), value)
        hint = conversion(value, other, "==")
    elif method == "concat":
        other = next((each for each in arguments if sort_of(each) != sort_of(value)), value)
        hint = conversion(value, other, "+")
    return _kind(type(error))(f"{text}.", **_where(value), hint=hint)


def _no_text(value: Any, method: str, argument: Any) -> ExpressionError:
    several = isinstance(argument, list | tuple | set)
    return ExpressionError(
        f".{method}() of {_named(value)} takes texts, not {shown_argument(argument)}.",
        **_where(value),
        hint="Look for one of several by t.s.isin(['a', 'b']), or by t.s.re_search('a|b') within "
        "the text."
        if several
        else f"Write a text, {str(argument)!r}.",
    )


_HINT = "help() of the method says what it takes; cast() makes a value of another type."
_TYPES = "Types are bb.Int, bb.Float, bb.String and the like, or 'int64', 'float64', 'string'."
_COMPARING = {"between", "isin", "notin", "fill_null", "nullif", "identical_to"}
_HINTS = {"cast": _TYPES, "try_cast": _TYPES}


def _no_operator(
    operator: str, left: Any, right: Any, theirs: type[Exception] | None = None
) -> Any:
    place = next(each for each in (left, right) if isinstance(each, ir.Value))
    symbol = _OPERATORS[operator]
    return _kind(theirs)(
        f"{symbol} cannot be computed of {_named(left)} and {_named(right)}.",
        **_where(place),
        hint=_operator_hint(symbol, left, right),
    )


def _operator_hint(symbol: str, left: Any, right: Any) -> str:
    operands = [each for each in (left, right) if isinstance(each, ir.Value)]
    if symbol in {"&", "|", "^"} or any(isinstance(each.op(), _COMBINED) for each in operands):
        return "Put comparisons in parentheses, as & and | go before them: (t.a > 1) & (t.b < 2)."
    return conversion(left, right, symbol)


def _kind(theirs: type[Exception] | None) -> Any:
    """Choose a class that those who expect an error of Ibis catch too, where it can be made."""
    if theirs is None or issubclass(theirs, SignatureValidationError):
        return ExpressionError
    return both_classes(ExpressionError, theirs)


def _named(value: Any) -> str:
    if isinstance(value, ir.Value):
        return f"{value.get_name()!r} ({value.type()})"
    return shown_argument(value)


def _method(function: Any) -> Any:
    # What runs a query raises errors of functions and databases, which are not about arguments.
    misfits = REFUSALS if function.__name__ in vars(ir.Expr) else _MISFITS

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = function(self, *args, **kwargs)
        except BarbuleError:
            raise
        except misfits as error:
            if (texts := unwrapped(self, args)) is not None:
                return method(self, *texts, **kwargs)
            name = function.__name__
            raise _refused(error, self, name, (*args, *kwargs.values())) from error
        except KeyError as error:
            if function.__name__ != "__getitem__" or not isinstance(self, ir.StructValue):
                raise
            raise _no_field(self, args[0]) from error
        _check_options(self, result)
        if wrong := written_out(self, (*args, *kwargs.values()), result):
            raise _no_text(self, function.__name__, wrong[0])
        return checked(result)

    method.checks = True  # type: ignore[attr-defined]
    return method


def _getter(prop: property) -> Any:
    """Let what a property returns explain its errors, too."""
    return lambda self: checked(prop.fget(self))  # type: ignore[misc]


def _check_options(value: Any, result: Any) -> None:
    """Refuse to look for values among such as they are never equal to, which Ibis lets through."""
    op = result.op() if isinstance(result, ir.BooleanValue) else None
    op = op.arg if isinstance(op, ops.Not) else op
    if isinstance(op, ops.Between):
        for bound in (op.lower_bound, op.upper_bound):
            if len({isinstance(each.dtype, dt.Interval) for each in (op.arg, bound)}) > 1:
                raise _no_operator("__le__", value, _shown(bound))
    if not isinstance(op, ops.InValues):
        return
    for option in op.options:
        if not rlz.comparable(op.value, option) and not _is_null(option):
            raise _no_operator("__eq__", value, _shown(option))


def _shown(op: ops.Value) -> Any:
    return op.value if isinstance(op, ops.Literal) else op.to_expr()


def _is_null(op: ops.Value) -> bool:
    return isinstance(op.dtype, dt.Null)


def _operator(name: str, function: Any) -> Any:
    """Make an operator that refuses what neither operand knows; Python's error names classes."""
    shown = _FORWARD.get(name, name)

    def operator(self: Any, other: Any) -> Any:
        pair = (self, other) if name == shown else (other, self)
        try:
            result = _computed(name, function, self, other)
        except BarbuleError:
            raise
        except _MISFITS as error:
            raise _no_operator(shown, *pair, type(error)) from error
        if result is not NotImplemented:
            if isinstance(result, ir.Value) and _is_senseless(result.op()):
                raise _no_operator(shown, *pair)
            return checked(result)
        first = name == shown and isinstance(other, ir.Value) and type(other) is not type(self)
        asked = first and hasattr(type(other), _REFLECTED[name])
        if name in _BY_IDENTITY or (asked and isinstance(other, CheckedValue)):
            return NotImplemented  # Python asks the other operand
        raise _no_operator(shown, *pair)

    operator.__name__ = name
    operator.checks = True  # type: ignore[attr-defined]
    return operator


def _computed(name: str, function: Any, value: Any, other: Any) -> Any:
    """Apply an operator of Ibis; NotImplemented where neither operand knows the other."""
    shown = _FORWARD.get(name, name)
    operand = other
    if shown == "__mul__" and repeats(value, other):
        return repeated(value, other)
    if shown == "__mod__":
        value, operand = (value, with_sign(other)) if name == shown else (with_sign(value), other)
    result: Any = NotImplemented
    if name != shown and isinstance(operand, ir.Value):
        # Computed as it is written: Ibis' reflected & and | turn their operands.
        result = getattr(type(operand), shown, _unknown)(operand, value)
    if result is NotImplemented and function is not None:
        result = function(value, operand)
    if result is NotImplemented and name == shown and not isinstance(other, ir.Value):
        # Another library may know what to do.
        result = getattr(type(other), _REFLECTED[name], _unknown)(other, value)
    return result


def _is_senseless(op: ops.Node) -> bool:
    """Whether Ibis builds an operation that databases refuse or answer as each likes."""
    if not isinstance(op, ops.Comparison | ops.NumericBinary):
        return False
    kinds = [each.dtype for each in (op.left, op.right) if not _is_null(each)]
    if isinstance(op, ops.NumericBinary):
        return bool(kinds) and all(isinstance(kind, dt.Boolean) for kind in kinds)
    return len({isinstance(kind, dt.Interval) for kind in kinds}) > 1


def _unary(name: str) -> Any:
    """Make an operator of one operand, by the method of its name where there is one."""

    def operator(self: Any, *digits: Any) -> Any:
        method = getattr(type(self), name.strip("_"), None)
        if method is None or name not in {"__abs__", "__round__"}:
            raise ExpressionError(
                f"{_UNARY[name]} cannot be computed of {_named(self)}.",
                **_where(self),
                hint="Numbers have a sign, and conditions are negated by ~; convert it by "
                ".cast('float64').",
            )
        return method(self, *digits)

    operator.__name__ = name
    operator.checks = True  # type: ignore[attr-defined]
    return operator


def _refuse_iteration(self: Any) -> NoReturn:
    """Refuse: an expression has no values before it is computed."""
    name = self.get_name() if isinstance(self.op(), ops.Field) else "a"
    raise ExpressionError(
        "an expression is not iterable: it has no values before it is computed.",
        **_where(self),
        hint=f"Write t.select(x=t.{name}).collect()['x'] for the list of its values.",
    )


def _unknown(*_: Any) -> Any:
    return NotImplemented


def add_checks(cls: type) -> type:
    """Make the methods and operators of a class of values return values that are checked."""
    if cls.__iter__ is not None:  # type: ignore[attr-defined]
        cls.__iter__ = _refuse_iteration  # type: ignore[attr-defined]
    for name in dir(cls):
        function = inspect.getattr_static(cls, name)
        public = not name.startswith("_") or name in _OTHER_OPERATORS
        checks = getattr(function, "checks", False) or name in _STRUCTURAL
        if public and not checks and inspect.isfunction(function):
            setattr(cls, name, _method(function))
        elif public and isinstance(function, property) and name not in _STRUCTURAL:
            setattr(cls, name, property(_getter(function), doc=function.__doc__))
    for name in _UNARY:
        if not hasattr(cls, name):
            setattr(cls, name, _unary(name))
    for name in (*_OPERATORS, *_FORWARD):
        function = getattr(cls, name, None)
        # One that is inherited stays the same function: Python asks the right operand first
        # where its class is derived and has another one, and that would turn the operands.
        if not getattr(function, "checks", False):
            setattr(cls, name, _operator(name, function))
    return cls


# Ibis itself relies on these; what they return stays as it is.
_STRUCTURAL = {"op", "get_name", "equals", "type", "compile", "visualize", "pipe"}


@functools.cache
def checked_class(base: Any) -> type[ir.Value]:
    """Return the class of values of a class of Ibis that explain their errors."""
    own = tuple(mixin for kind, mixin in _METHODS if issubclass(base, kind))[:1]
    own += (ScalarMethods,) if issubclass(base, ir.Scalar) else ()
    names = {"__slots__": (), "__doc__": base.__doc__}
    return add_checks(type(base.__name__, (CheckedValue, *own, base), names))


_METHODS: tuple[tuple[Any, type], ...] = (
    (ir.IntervalColumn, DurationColumnMethods),
    (ir.IntervalValue, DurationMethods),
    (ir.DateValue, DateMethods),
    (ir.TimestampValue, MomentMethods),
    (ir.StringValue, TextMethods),
    (ir.ArrayValue, ListMethods),
)


def checked(value: Any) -> Any:
    """Make a column or scalar explain its errors; leave everything else as it is."""
    if not isinstance(value, ir.Value) or isinstance(value, CheckedValue):
        return value
    kind: Any = type(value)
    return checked_class(kind)(value.op())
