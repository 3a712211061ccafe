"""Json columns: paths, and values in the type of the other operand.

Owns the meaning of `t.meta.a.b[0] + 1`: the plain Ibis operations that it consists of. Nothing here
depends on a backend.
"""

from __future__ import annotations

import decimal
import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis import Deferred

from barbule import types
from barbule.errors import ExpressionError
from barbule.relations.methods.json_unwrapping import (
    json_length,
    json_of,
    json_text,
    unwrapped_like,
    unwrapped_like_items,
    unwrapper_of,
)
from barbule.relations.methods.slices import stepped
from barbule.relations.methods.text import unwrapped
from barbule.types import declaration
from barbule.values.json_numbers import (
    compare_integer,
    is_integer,
    is_one_of,
    to_decimal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["JsonValue"]

Key: TypeAlias = str | int | slice | ir.StringValue | ir.IntegerValue

_PLAIN_KEY = re.compile(r"[^\W\d][\w -]*")
_ALL_ITEMS = "*"  # a step of a path that takes all items of a list
_UNKNOWN = ibis.null(dt.boolean)


class JsonValue(ir.JSONValue):
    """Json with paths written as attributes and items: `t.meta.a.b[0]`.

    `t.meta.tags["*"].name` applies to each item of a list, see `JsonItemsValue`.

    In arithmetic it is a number (float64, missing if it is not a number); compared with a string, a
    number, a bool or a timestamp, it takes that type. Methods of strings and numbers may be called
    on a path: `t.meta.lang.upper()`, `t.meta.score.round(1)`. JSON null is missing.
    """

    __hash__ = ir.JSONValue.__hash__
    __iter__ = None  # it has items, but their number is unknown

    def __getitem__(self, key: Key) -> ir.Value:
        if isinstance(key, slice):
            return _items(_slice(ops.ToJSONArray(self).to_expr(), key).op())
        if _is_all_items(key):
            return _items(ops.ToJSONArray(self))
        if isinstance(key, str) and not _PLAIN_KEY.fullmatch(key):
            # Some databases, and sqlglot, would read such a key as a path.
            return ops.MapGet(ops.ToJSONMap(self), key).to_expr()
        return ops.JSONGetItem(self, key).to_expr()

    def __getattr__(self, key: str) -> ir.Value:
        if key.startswith("_"):
            raise AttributeError(key)
        return self[key]

    def __call__(self, *args: Any, **kwargs: Any) -> ir.Value:
        """Call the string or number method that the last name of the path denotes.

        Ibis calls callables with the table that they belong to: that returns the path.
        """
        op = self.op()
        name = getattr(op.index, "value", None) if isinstance(op, ops.JSONGetItem) else None
        if len(args) == 1 and _is_table(args[0], name):
            return self
        if name == "length" and not args and not kwargs:
            return json_length(op.arg)
        unwrap = unwrapper_of(name)
        if unwrap is None:
            raise ExpressionError(
                f"{name!r} is not a method of strings or numbers.",
                hint="A name in a Json path is a key, and keys cannot be called.",
            )
        owner = unwrap(op.arg).to_expr()
        method = getattr(owner, str(name), None)
        if method is None:  # for example of columns, while this is a single value
            raise ExpressionError(f"{name!r} is not a method of a single value.")
        return method(*(unwrapped(owner, args) or args), **kwargs)

    def cast(self, target_type: object, /) -> ir.Value:
        """Cast the value: strings and numbers by their value, not by their JSON text."""
        return self._converted(types.dtype(target_type), strict=True)

    def try_cast(self, target_type: object, /) -> ir.Value:
        """Cast the value if possible; otherwise it is missing."""
        return self._converted(types.dtype(target_type), strict=False)

    def _converted(self, kind: dt.DataType, *, strict: bool) -> ir.Value:
        def converted(value: ir.Value) -> ir.Value:
            return value.cast(kind) if strict else value.try_cast(kind)

        form = declaration(kind).json
        if form == "boolean":
            return ops.UnwrapJSONBoolean(self).to_expr()
        if isinstance(kind, dt.Integer | dt.Floating):
            return self._as_number(kind, strict=strict)
        if form in {"number", "string", "text"}:  # decimals too: floats lack their digits
            return converted(json_text(self))
        plain_cast = ir.JSONValue.cast if strict else ir.JSONValue.try_cast
        return plain_cast(self, kind)

    def _as_number(self, kind: dt.Integer | dt.Floating, *, strict: bool) -> ir.NumericValue:
        """Cast a number, or a string that contains one."""
        numbers = [ops.UnwrapJSONFloat64(self).to_expr()]
        if isinstance(kind, dt.Integer):
            wide = isinstance(kind, dt.UInt64)
            exact = to_decimal(self) if wide else ops.UnwrapJSONInt64(self).to_expr()
            numbers.insert(0, exact)
        if not strict and isinstance(kind, dt.Integer):
            low, high = kind.bounds
            exact, real = numbers
            bounds = [decimal.Decimal(low), decimal.Decimal(high)] if wide else [low, high]
            fits = [exact.between(*bounds), (real >= float(low)) & (real < float(high + 1))]
            numbers = [fit.ifelse(number, None) for fit, number in zip(fits, numbers, strict=True)]
        text = ops.UnwrapJSONString(self).to_expr()
        text = text.cast(kind) if strict else text.try_cast(kind)
        return ibis.coalesce(*(number.cast(kind) for number in numbers), text)

    def isnull(self) -> ir.BooleanValue:
        """Return whether the value is missing or JSON null."""
        text = ops.Cast(self, dt.string).to_expr().fill_null("null")
        return (text == "null") & ops.UnwrapJSONString(self).to_expr().isnull()

    def notnull(self) -> ir.BooleanValue:
        """Return whether the value is neither missing nor JSON null."""
        return ~self.isnull()

    def fill_null(self, fill_value: object, /) -> ir.Value:
        """Replace missing values with a value; all others stay unchanged, as Json.

        With a timestamp or a UUID the result has that type, and is missing if the value cannot be
        converted.
        """
        if fill_value is None:
            return self
        json_value = json_of(fill_value)
        if json_value is None:
            return unwrapped_like(self, fill_value).fill_null(fill_value)
        return self.isnull().ifelse(json_value, self)

    def nullif(self, null_if_expr: object, /) -> ir.Value:
        """Return a missing value if it equals a value."""
        if null_if_expr is None:
            return self
        equal: ir.BooleanValue = self == null_if_expr
        same = equal.fill_null(False)
        return same.ifelse(ibis.null(types.Json()), self)

    def identical_to(self, other: object, /) -> ir.BooleanValue:
        """Return whether it equals a value, or both are missing."""
        if other is None:
            return self.isnull()
        equal: ir.BooleanValue = self == other
        same = equal.fill_null(False)
        return same | (self.isnull() & other.isnull()) if isinstance(other, ir.Value) else same

    def cases(
        self,
        branch: tuple[object, object],
        /,
        *branches: tuple[object, object],
        else_: object = None,
    ) -> ir.Value:
        """Choose a result by the first value that it equals."""
        conditions = [(self == value, result) for value, result in (branch, *branches)]
        return ibis.cases(*conditions, else_=else_)

    def isin(self, values: ir.Value | Iterable[object], /) -> ir.BooleanValue:
        """Return whether it is one of several strings, numbers or values of a column."""
        if isinstance(values, ir.Value):
            return unwrapped_like_items(self, values).isin(values)
        return is_one_of(self, list(values), unwrapped_like)

    def notin(self, values: ir.Value | Iterable[object], /) -> ir.BooleanValue:
        """Return whether it is none of several strings, numbers or values of a column."""
        if isinstance(values, ir.Value):
            plain = unwrapped_like_items(self, values)
            is_other_type = plain.isnull() & self.notnull()
            return ibis.coalesce(plain.notin(values), is_other_type.ifelse(True, _UNKNOWN))
        return ~self.isin(values)

    def between(self, lower: object, upper: object) -> ir.BooleanValue:
        """Return whether it is a string, number or timestamp between two others."""
        if is_integer(lower) or is_integer(upper):
            return (self >= lower) & (self <= upper)
        return unwrapped_like(self, lower).between(lower, upper)

    def __abs__(self) -> ir.NumericValue:
        return ops.UnwrapJSONFloat64(self).to_expr().abs()

    def __round__(self, digits: int | None = None) -> ir.NumericValue:
        return ops.UnwrapJSONFloat64(self).to_expr().round(digits)

    def max(self, *_: object, **__: object) -> NoReturn:
        """Refuse: numbers are ordered differently than strings."""
        raise _unordered("max")

    def min(self, *_: object, **__: object) -> NoReturn:
        """Refuse: numbers are ordered differently than strings."""
        raise _unordered("min")


class JsonItemsValue(ir.ArrayValue):
    """The items of a list in Json: a path applies to each of them, as in JMESPath.

    `t.meta.boxes["*"].label` is the array of the labels, `t.meta.boxes["*"].corners[0]` the array
    of the first corner of each box, and a second `["*"]` flattens the items of all lists. Otherwise
    it is an array of Json; `array` is the plain array, whose items are read by index.
    """

    __slots__ = ()
    __hash__ = ir.ArrayValue.__hash__
    __iter__ = None

    @property
    def array(self) -> ir.ArrayValue:
        """The plain array of these items."""
        return self.op().to_expr()

    def __getitem__(self, key: Key) -> ir.ArrayValue:
        if isinstance(key, slice):
            return _items(_slice(self.array, key).op())
        if _is_all_items(key):
            lists = self.array.map(lambda item: ops.ToJSONArray(item).to_expr())
            return _items(lists.flatten().op())
        return _items(self.array.map(lambda item: _as_json_value(item)[key]).op())

    def __getattr__(self, key: str) -> ir.ArrayValue:
        if key.startswith("_"):
            raise AttributeError(key)
        return self[key]

    def __call__(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse, with a hint how to call a method on each item."""
        raise ExpressionError(
            "methods cannot be called on all items of a list at once.",
            hint="Call them on each item: t.meta.boxes.array.map(lambda box: box.label.upper()).",
        )


def _is_all_items(key: Key) -> bool:
    return isinstance(key, str) and key == _ALL_ITEMS


def _slice(items: ir.ArrayValue, key: slice) -> ir.ArrayValue:
    return items[key] if key.step is None else stepped(items, key)


def _as_json_value(item: ir.Value) -> JsonValue:
    """Return an item of a list with the paths of Json."""
    return item if isinstance(item, JsonValue) else ops.Cast(item, types.Json()).to_expr()


def _items(op: ops.Value) -> ir.ArrayValue:
    """Return the expression of the items of a list."""
    items_class = _JsonItemsScalar if op.shape.is_scalar() else _JsonItemsColumn
    return items_class(op)


class _JsonItemsScalar(JsonItemsValue, ir.ArrayScalar):
    __slots__ = ()


class _JsonItemsColumn(JsonItemsValue, ir.ArrayColumn):
    __slots__ = ()


def _is_table(argument: object, name: str | None) -> bool:
    """Whether Ibis calls a path with the table that it belongs to."""
    is_deferred = isinstance(argument, Deferred) and unwrapper_of(name) is None
    return isinstance(argument, ir.Table) or is_deferred


def _unordered(name: str) -> ExpressionError:
    return ExpressionError(
        f"{name}() needs the type of the values, and Json may hold any type.",
        hint=f"Say it: t.meta.score.float.{name}(), t.meta.lang.str.{name}().",
    )


def _is_text(operand: object) -> bool:
    return isinstance(operand, str | ir.StringValue)


def _arithmetic(name: str) -> Callable[..., ir.Value]:
    def method(self: JsonValue, *others: object) -> ir.Value:
        # A string is concatenated with another; everything else is computed as a number.
        concatenates = name in {"__add__", "__radd__"} and any(map(_is_text, others))
        unwrap = ops.UnwrapJSONString if concatenates else ops.UnwrapJSONFloat64
        operands = [
            unwrap(operand).to_expr() if isinstance(operand, ir.JSONValue) else operand
            for operand in (self, *others)
        ]
        return getattr(operands[0], name)(*operands[1:])

    return method


def _with_other_types(
    value: JsonValue, name: str, other: object, comparison: ir.BooleanValue
) -> ir.BooleanValue:
    """Return that a value of another type than `other` is not equal to it."""
    if name not in {"__eq__", "__ne__"}:
        return comparison
    if name == "__eq__" and isinstance(other, ir.Column):
        return comparison  # alone, so that a join on it does not have to compare all pairs
    both_exist = value.notnull()
    if isinstance(other, ir.Value):
        both_exist &= other.notnull()
    return ibis.coalesce(comparison, both_exist.ifelse(name == "__ne__", _UNKNOWN))


def _comparison(name: str) -> Callable[[JsonValue, object], ir.BooleanValue]:
    def method(self: JsonValue, other: object) -> ir.BooleanValue:
        if other is None:
            return {"__eq__": self.isnull, "__ne__": self.notnull}.get(
                name, lambda: NotImplemented
            )()
        if not isinstance(other, ir.JSONValue):
            if is_integer(other):
                comparison = compare_integer(self, name, other)
            else:
                comparison = getattr(unwrapped_like(self, other), name)(other)
            return _with_other_types(self, name, other, comparison)
        if name in {"__eq__", "__ne__"}:
            return getattr(ir.JSONValue, name)(self, other)
        # Two numbers are compared as numbers, two strings as strings; other combinations never
        # match.
        pairs = [
            (unwrap(self).to_expr(), unwrap(other).to_expr())
            for unwrap in (ops.UnwrapJSONInt64, ops.UnwrapJSONFloat64, ops.UnwrapJSONString)
        ]
        return ibis.coalesce(*(getattr(left, name)(right) for left, right in pairs))

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    for _side in ("", "r"):
        setattr(JsonValue, f"__{_side}{_name}__", _arithmetic(f"__{_side}{_name}__"))
JsonValue.__neg__ = _arithmetic("__neg__")
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(JsonValue, f"__{_name}__", _comparison(f"__{_name}__"))
