"""Values that explain their errors: misuse as Python values, and misspelt names.

Owns the class of such columns and scalars. They are those of Ibis in every other respect, and the
results of their methods and operators are of this class too.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz
import ibis.expr.types as ir

from barbule.errors import BarbuleError, ExpressionError, unpicklable
from barbule.relations.errors.formatted_strings import Formatted
from barbule.relations.errors.invalid_queries import REFUSALS, both_classes
from barbule.relations.errors.python_protocols import UnassignableValue, Unconvertible
from barbule.relations.errors.value_errors import (
    OPERATOR_SYMBOLS,
    described,
    location,
    no_attribute,
    no_field,
    no_operator,
    not_a_text,
    refused_method,
    table_verb_hint,
)
from barbule.relations.methods.slices import ListMethods, list_of_row, repeated, repeats
from barbule.relations.methods.temporal import (
    DateMethods,
    DurationColumnMethods,
    DurationMethods,
    TimestampMethods,
)
from barbule.relations.methods.text import TextMethods, made_strings, unwrapped
from barbule.relations.promotion import with_sign
from barbule.types import declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["CheckedValue", "add_checks", "checked", "checked_class"]

C = TypeVar("C", bound=type)
T = TypeVar("T")

_COMPARISONS = {
    "__lt__": "__gt__", "__le__": "__ge__", "__gt__": "__lt__", "__ge__": "__le__",
    "__eq__": "__eq__", "__ne__": "__ne__",
}  # fmt: skip
_REFLECTED = {name: _COMPARISONS.get(name, f"__r{name[2:]}") for name in OPERATOR_SYMBOLS}
_FORWARD = {_REFLECTED[name]: name for name in OPERATOR_SYMBOLS if name not in _COMPARISONS}
_BY_IDENTITY = {"__eq__", "__ne__"}  # Python has its own defaults for missing methods
_UNARY = {"__invert__": "~", "__neg__": "-", "__abs__": "abs()", "__round__": "round()"}
_OTHER_OPERATORS = {"__getitem__", "__call__", *_UNARY}
# Ibis itself relies on these; their results stay unchanged.
_STRUCTURAL = {"op", "get_name", "equals", "type", "compile", "visualize", "pipe"}
# The errors of Ibis and of argument conversion for values that do not fit.
_ARGUMENT_ERRORS = (*REFUSALS, TypeError, ValueError, NotImplementedError)

_NOT_RUN = (
    "This expression has not been executed: t.select(x=...).collect() returns its values as part "
    "of a query, and .to_pyarrow() executes it alone."
)


class CheckedValue(UnassignableValue, Unconvertible, Formatted):
    """The errors of columns and scalars for a truth value, an iteration, or an unknown name."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise unpicklable("a column or another expression")

    def __bool__(self) -> bool:
        """Refuse: there is one value for each row, and none before the query runs."""
        raise both_classes(ExpressionError, ValueError)(
            "an expression has no truth value before it is executed, so `and`, `or`, `not`, "
            "`in`, `if`, `max` and chained comparisons cannot be used.",
            **location(self),
            hint="Write (t.a > 1) & (t.b < 2), with each comparison in parentheses; | for or, ~ "
            "for not; t.a.isin([1, 2]) for in; t.a.between(1, 5) for 1 <= t.a <= 5; "
            "condition.ifelse(x, y) for if; ibis.greatest(t.a, t.b) for max.",
        )

    def __contains__(self, item: object) -> bool:
        """Refuse: there is one answer for each row."""
        kind = self.type()
        raise ExpressionError(
            "`in` returns a single value, but this expression has one value for each row.",
            **location(self),
            hint="Write t.a.contains(x) to test whether the value of a row contains x."
            if declaration(kind).sized
            else "Write t.a.isin([1, 2]) to test whether the value of a row is one of several, "
            "and (t.a == x).any() to test whether any row has x.",
        )

    def __repr__(self) -> str:
        definition = super().__repr__()
        return definition if ibis.options.interactive else f"{definition}\n\n{_NOT_RUN}"

    def isin(self, values: ir.Expr | Iterable[object], /) -> ir.BooleanValue:
        """Return whether the value is one of several values, of a list, or of a column."""
        items = list_of_row(values, self)
        return super().isin(values) if items is None else items.contains(self)  # type: ignore[misc]

    def notin(self, values: ir.Expr | Iterable[object], /) -> ir.BooleanValue:
        """Return whether the value is none of several values."""
        items = list_of_row(values, self)
        return super().notin(values) if items is None else ~items.contains(self)  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        try:
            return checked(super().__getattr__(name))  # type: ignore[misc]
        except AttributeError as error:
            if name.startswith("_"):
                raise
            raise no_attribute(self, name) from error


class ScalarMethods:
    """The error of a scalar that is aggregated again."""

    __slots__ = ()

    def collect(self, *_: object, **__: object) -> NoReturn:
        """Refuse: this method of columns collects all values in one list."""
        raise ExpressionError(
            "a scalar expression is a single value that has not been executed.",
            **location(self),
            hint=table_verb_hint(self, "collect"),
        )


def _checked_method(function: Callable[..., Any]) -> Callable[..., Any]:
    # Methods that run a query raise errors of functions and databases, which are not about
    # arguments.
    argument_errors = REFUSALS if function.__name__ in vars(ir.Expr) else _ARGUMENT_ERRORS

    @functools.wraps(function)
    def method(self: ir.Value, *args: Any, **kwargs: Any) -> Any:
        try:
            result = function(self, *args, **kwargs)
        except BarbuleError:
            raise
        except argument_errors as error:
            if (texts := unwrapped(self, args)) is not None:
                return method(self, *texts, **kwargs)
            name = function.__name__
            raise refused_method(error, self, name, (*args, *kwargs.values())) from error
        except KeyError as error:
            if function.__name__ != "__getitem__" or not isinstance(self, ir.StructValue):
                raise
            raise no_field(self, args[0]) from error
        _check_options(self, result)
        if others := made_strings(self, (*args, *kwargs.values()), result):
            raise not_a_text(self, function.__name__, others[0])
        return checked(result)

    method.checks = True  # type: ignore[attr-defined]
    return method


def _checked_getter(prop: property) -> Callable[[ir.Value], Any]:
    """Wrap the result of a property so that it also explains its errors."""
    return lambda self: checked(prop.fget(self))  # type: ignore[misc]


def _check_options(value: ir.Value, result: object) -> None:
    """Refuse to search for values that can never be equal, which Ibis allows."""
    op = result.op() if isinstance(result, ir.BooleanValue) else None
    op = op.arg if isinstance(op, ops.Not) else op
    if isinstance(op, ops.Between):
        for bound in (op.lower_bound, op.upper_bound):
            if len({isinstance(operand.dtype, dt.Interval) for operand in (op.arg, bound)}) > 1:
                raise no_operator("__le__", value, _operand(bound))
    if not isinstance(op, ops.InValues):
        return
    for option in op.options:
        if not rlz.comparable(op.value, option) and not _is_null(option):
            raise no_operator("__eq__", value, _operand(option))


def _operand(op: ops.Value) -> object:
    return op.value if isinstance(op, ops.Literal) else op.to_expr()


def _is_null(op: ops.Value) -> bool:
    return isinstance(op.dtype, dt.Null)


def _checked_operator(
    name: str, function: Callable[..., Any] | None
) -> Callable[[ir.Value, object], Any]:
    """Return an operator that refuses operands of unknown types; Python's error names classes."""
    forward = _FORWARD.get(name, name)

    def operator(self: ir.Value, other: object) -> Any:
        left, right = (self, other) if name == forward else (other, self)
        try:
            result = _applied(name, function, self, other)
        except BarbuleError:
            raise
        except _ARGUMENT_ERRORS as error:
            raise no_operator(forward, left, right, type(error)) from error
        if result is not NotImplemented:
            if isinstance(result, ir.Value) and _is_senseless(result.op()):
                raise no_operator(forward, left, right)
            return checked(result)
        is_first = name == forward and isinstance(other, ir.Value) and type(other) is not type(self)
        other_is_next = is_first and hasattr(type(other), _REFLECTED[name])
        if name in _BY_IDENTITY or (other_is_next and isinstance(other, CheckedValue)):
            return NotImplemented  # Python tries the other operand
        raise no_operator(forward, left, right)

    operator.__name__ = name
    operator.checks = True  # type: ignore[attr-defined]
    return operator


def _applied(
    name: str, function: Callable[..., Any] | None, value: ir.Value, other: object
) -> object:
    """Apply an operator of Ibis; NotImplemented if neither operand supports the other."""
    forward = _FORWARD.get(name, name)
    operand = other
    if forward == "__mul__" and repeats(value, other):
        return repeated(value, other)
    if forward == "__mod__":
        value, operand = (value, with_sign(other)) if name == forward else (with_sign(value), other)
    result: object = NotImplemented
    if name != forward and isinstance(operand, ir.Value):
        # Computed as written: Ibis' reflected & and | swap their operands.
        result = getattr(type(operand), forward, _not_implemented)(operand, value)
    if result is NotImplemented and function is not None:
        result = function(value, operand)
    if result is NotImplemented and name == forward and not isinstance(other, ir.Value):
        # Another library may support it.
        result = getattr(type(other), _REFLECTED[name], _not_implemented)(other, value)
    return result


def _is_senseless(op: ops.Node) -> bool:
    """Whether Ibis builds an operation that databases refuse or define differently."""
    if not isinstance(op, ops.Comparison | ops.NumericBinary):
        return False
    kinds = [operand.dtype for operand in (op.left, op.right) if not _is_null(operand)]
    if isinstance(op, ops.NumericBinary):
        return bool(kinds) and all(isinstance(kind, dt.Boolean) for kind in kinds)
    return len({isinstance(kind, dt.Interval) for kind in kinds}) > 1


def _unary_operator(name: str) -> Callable[..., Any]:
    """Return a unary operator; it calls the method of the same name if there is one."""

    def operator(self: ir.Value, *digits: object) -> Any:
        method = getattr(type(self), name.strip("_"), None)
        if method is None or name not in {"__abs__", "__round__"}:
            raise ExpressionError(
                f"{_UNARY[name]} is not supported for {described(self)}.",
                **location(self),
                hint="Use - on numbers and ~ on conditions; convert the value with "
                ".cast('float64').",
            )
        return method(self, *digits)

    operator.__name__ = name
    operator.checks = True  # type: ignore[attr-defined]
    return operator


def _refuse_iteration(self: ir.Value) -> NoReturn:
    """Refuse: an expression has no values before it is executed."""
    name = self.get_name() if isinstance(self.op(), ops.Field) else "a"
    raise ExpressionError(
        "an expression is not iterable: it has no values before it is executed.",
        **location(self),
        hint=f"Use t.select(x=t.{name}).collect()['x'] to get the list of its values.",
    )


def _not_implemented(*_: object) -> object:
    return NotImplemented


def add_checks(cls: C) -> C:
    """Wrap the methods and operators of a class of values so that they return checked values."""
    if cls.__iter__ is not None:  # type: ignore[attr-defined]
        cls.__iter__ = _refuse_iteration  # type: ignore[attr-defined]
    for name in dir(cls):
        function = inspect.getattr_static(cls, name)
        public = not name.startswith("_") or name in _OTHER_OPERATORS
        checks = getattr(function, "checks", False) or name in _STRUCTURAL
        if public and not checks and inspect.isfunction(function):
            setattr(cls, name, _checked_method(function))
        elif public and isinstance(function, property) and name not in _STRUCTURAL:
            setattr(cls, name, property(_checked_getter(function), doc=function.__doc__))
    for name in _UNARY:
        if not hasattr(cls, name):
            setattr(cls, name, _unary_operator(name))
    for name in (*OPERATOR_SYMBOLS, *_FORWARD):
        function = getattr(cls, name, None)
        # An inherited operator stays the same function: Python tries the right operand first if its
        # class is derived and overrides the operator, and that would swap the operands.
        if not getattr(function, "checks", False):
            setattr(cls, name, _checked_operator(name, function))
    return cls


@functools.cache
def checked_class(ibis_class: type[ir.Value]) -> type[ir.Value]:
    """Return the class of values that explain their errors, for an Ibis class."""
    mixins = tuple(mixin for base, mixin in _METHODS if issubclass(ibis_class, base))[:1]
    mixins += (ScalarMethods,) if issubclass(ibis_class, ir.Scalar) else ()
    namespace = {"__slots__": (), "__doc__": ibis_class.__doc__}
    bases = (CheckedValue, *mixins, ibis_class)
    return add_checks(type(ibis_class.__name__, bases, namespace))


_METHODS: tuple[tuple[type[ir.Value], type], ...] = (
    (ir.IntervalColumn, DurationColumnMethods),
    (ir.IntervalValue, DurationMethods),
    (ir.DateValue, DateMethods),
    (ir.TimestampValue, TimestampMethods),
    (ir.StringValue, TextMethods),
    (ir.ArrayValue, ListMethods),
)


def checked(value: T) -> T:
    """Let a column or scalar explain its errors; return everything else unchanged."""
    if not isinstance(value, ir.Value) or isinstance(value, CheckedValue):
        return value
    ibis_class: Any = type(value)
    return checked_class(ibis_class)(value.op())
