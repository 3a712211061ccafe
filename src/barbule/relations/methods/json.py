"""Json columns: paths, and values that are of the kind of what stands beside them.

Owns what `t.meta.a.b[0] + 1` means: which plain operations of Ibis it is made of. Nothing here
depends on a backend.
"""

from __future__ import annotations

import decimal
import functools
import re
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis import Deferred

from barbule import types
from barbule.errors import ExpressionError
from barbule.relations.methods.slices import stepped
from barbule.relations.methods.text import unwrapped
from barbule.values.json_numbers import (
    compare_whole,
    is_one_of,
    is_whole,
    whole_decimal,
    whole_number,
)
from barbule.values.json_values import as_json, json_constant

__all__ = ["JsonValue"]

_PLAIN_KEY = re.compile(r"[^\W\d][\w -]*")
ALL_ITEMS = "*"  # a step of a path that takes all items of a list
_UNKNOWN = ibis.null(dt.boolean)
_EXACT = 2**53  # whole numbers beyond it are not exact as float64


class JsonValue(ir.JSONValue):
    """Json with paths written as attributes and items: `t.meta.a.b[0]`.

    `t.meta.tags["*"].name` goes on with each item of a list, see `JsonItemsValue`.

    In arithmetic it is a number (float64, missing where it is none); compared with a text, a
    number, a bool or a moment it is of that kind. Methods of texts and numbers may be called on
    a path: `t.meta.lang.upper()`, `t.meta.score.round(1)`. What is JSON's null, is missing.
    """

    __hash__ = ir.JSONValue.__hash__
    __iter__ = None  # it has items, but nobody knows how many

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _items(_part(ops.ToJSONArray(self).to_expr(), key).op())
        if _is_all(key):
            return _items(ops.ToJSONArray(self))
        if isinstance(key, str) and not _PLAIN_KEY.fullmatch(key):
            # Some databases, and sqlglot, would read such a key as a path.
            return ops.MapGet(ops.ToJSONMap(self), key).to_expr()
        return ops.JSONGetItem(self, key).to_expr()

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        return self[key]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method of texts or numbers that the last name of the path is.

        Ibis calls what can be called with the table that it is meant for: that gives the path.
        """
        op = self.op()
        name = getattr(op.index, "value", None) if isinstance(op, ops.JSONGetItem) else None
        if len(args) == 1 and _stands_for_a_table(args[0], name):
            return self
        if name == "length" and not args and not kwargs:
            return _length(op.arg)
        unwrap = _owner(name)
        if unwrap is None:
            raise ExpressionError(
                f"{name!r} is no method of texts or numbers.",
                hint="A name in a path into Json is a key of it, and keys cannot be called.",
            )
        owner = unwrap(op.arg).to_expr()
        method = getattr(owner, str(name), None)
        if method is None:  # of columns, say, and this is a single value
            raise ExpressionError(f"{name!r} is no method of a single value.")
        return method(*(unwrapped(owner, args) or args), **kwargs)

    def cast(self, target_type: Any, /) -> Any:
        """Cast the value: texts and numbers as what they are, not as JSON is written."""
        return self._converted(types.dtype(target_type), strict=True)

    def try_cast(self, target_type: Any, /) -> Any:
        """Cast the value where that is possible; elsewhere it is missing."""
        return self._converted(types.dtype(target_type), strict=False)

    def _converted(self, kind: dt.DataType, *, strict: bool) -> Any:
        plain = ir.JSONValue.cast if strict else ir.JSONValue.try_cast

        def turned(value: ir.Value) -> ir.Value:
            return value.cast(kind) if strict else value.try_cast(kind)

        if isinstance(kind, dt.String):
            return turned(_text(self))
        if isinstance(kind, dt.Boolean):
            return ops.UnwrapJSONBoolean(self).to_expr()
        if isinstance(kind, dt.Integer | dt.Floating):
            numbers = [ops.UnwrapJSONFloat64(self).to_expr()]
            if isinstance(kind, dt.Integer):
                wide = isinstance(kind, dt.UInt64)
                exact = whole_decimal(self) if wide else ops.UnwrapJSONInt64(self).to_expr()
                numbers.insert(0, exact)
            if not strict and isinstance(kind, dt.Integer):
                low, high = kind.bounds
                exact, real = numbers
                ends = [decimal.Decimal(low), decimal.Decimal(high)] if wide else [low, high]
                fits = [exact.between(*ends), (real >= float(low)) & (real < float(high + 1))]
                numbers = [ok.ifelse(each, None) for ok, each in zip(fits, numbers, strict=True)]
            text = turned(ops.UnwrapJSONString(self).to_expr())
            return ibis.coalesce(*(each.cast(kind) for each in numbers), text)
        if isinstance(kind, dt.Decimal | dt.Temporal | dt.UUID):
            return turned(_text(self))
        return plain(self, kind)

    def isnull(self) -> ir.BooleanValue:
        """Say whether nothing is there, or JSON's null."""
        text = ops.Cast(self, dt.string).to_expr().fill_null("null")
        return (text == "null") & ops.UnwrapJSONString(self).to_expr().isnull()

    def notnull(self) -> ir.BooleanValue:
        """Say whether a value is there that is not JSON's null."""
        return ~self.isnull()

    def fill_null(self, fill_value: Any, /) -> Any:
        """Put a value where none is; all others stay as they are, as Json.

        Beside a moment or a UUID it is one itself, and missing where it is none.
        """
        if fill_value is None:
            return self
        fill = _json_of(fill_value)
        if fill is None:
            return _as_kind_of(self, fill_value).fill_null(fill_value)
        return self.isnull().ifelse(fill, self)

    def nullif(self, null_if_expr: Any, /) -> Any:
        """Let it be missing where it equals a value."""
        if null_if_expr is None:
            return self
        same = (self == null_if_expr).fill_null(False)
        return same.ifelse(ibis.null(types.Json()), self)

    def identical_to(self, other: Any, /) -> ir.BooleanValue:
        """Say whether it equals a value, or both are missing."""
        if other is None:
            return self.isnull()
        same = (self == other).fill_null(False)
        return same | (self.isnull() & other.isnull()) if isinstance(other, ir.Value) else same

    def cases(self, branch: Any, /, *branches: Any, else_: Any = None) -> Any:
        """Choose a result by the first value that it equals."""
        pairs = [(self == value, result) for value, result in (branch, *branches)]
        return ibis.cases(*pairs, else_=else_)

    def isin(self, values: Any, /) -> Any:
        """Say whether it is one of several texts, numbers or values of a column."""
        if isinstance(values, ir.Value):
            return _beside_one_of(self, values).isin(values)
        return is_one_of(self, list(values), _as_kind_of)

    def notin(self, values: Any, /) -> Any:
        """Say whether it is none of several texts, numbers or values of a column."""
        if isinstance(values, ir.Value):
            plain = _beside_one_of(self, values)
            other_kind = plain.isnull() & self.notnull()
            return ibis.coalesce(plain.notin(values), other_kind.ifelse(True, _UNKNOWN))
        return ~self.isin(values)

    def between(self, lower: Any, upper: Any) -> Any:
        """Say whether it is a text, number or moment between two others."""
        if is_whole(lower) or is_whole(upper):
            return (self >= lower) & (self <= upper)
        return _as_kind_of(self, lower).between(lower, upper)

    def __abs__(self) -> Any:
        return ops.UnwrapJSONFloat64(self).to_expr().abs()

    def __round__(self, digits: int | None = None) -> Any:
        return ops.UnwrapJSONFloat64(self).to_expr().round(digits)

    def max(self, *_: Any, **__: Any) -> Any:
        """Refuse: numbers have another order than texts."""
        raise _unordered("max")

    def min(self, *_: Any, **__: Any) -> Any:
        """Refuse: numbers have another order than texts."""
        raise _unordered("min")


class JsonItemsValue(ir.ArrayValue):
    """The items of a list in Json: a path goes on in each of them, as in JMESPath.

    `t.meta.boxes["*"].label` is the array of the labels, `t.meta.boxes["*"].corners[0]` that of
    the first corner of each box, and `["*"]` once more takes the items of all lists as one. It is
    an array of Json otherwise; `array` is the plain one, whose items are taken by their number.
    """

    __slots__ = ()
    __hash__ = ir.ArrayValue.__hash__
    __iter__ = None

    @property
    def array(self) -> ir.ArrayValue:
        """The plain array of these items."""
        return self.op().to_expr()

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _items(_part(self.array, key).op())
        if _is_all(key):
            lists = self.array.map(lambda item: ops.ToJSONArray(item).to_expr())
            return _items(lists.flatten().op())
        return _items(self.array.map(lambda item: _path(item)[key]).op())

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        return self[key]

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """Say how a method of the items is called."""
        raise ExpressionError(
            "the items of a list have no methods together.",
            hint="Call them for each: t.meta.boxes.array.map(lambda box: box.label.upper()).",
        )


def _is_all(key: Any) -> bool:
    return isinstance(key, str) and key == ALL_ITEMS


def _part(items: Any, key: slice) -> Any:
    return items[key] if key.step is None else stepped(items, key)


def _path(item: Any) -> JsonValue:
    """Return an item of a list with the paths of Json."""
    return item if isinstance(item, JsonValue) else ops.Cast(item, types.Json()).to_expr()


def _items(value: Any) -> ir.ArrayValue:
    """Make the expression of the items of a list."""
    kind = _JsonItemsScalar if value.shape.is_scalar() else _JsonItemsColumn
    return kind(value)


class _JsonItemsScalar(JsonItemsValue, ir.ArrayScalar):
    __slots__ = ()


class _JsonItemsColumn(JsonItemsValue, ir.ArrayColumn):
    __slots__ = ()


def _stands_for_a_table(value: Any, name: Any) -> bool:
    return isinstance(value, ir.Table) or (isinstance(value, Deferred) and _owner(name) is None)


def _unordered(name: str) -> ExpressionError:
    return ExpressionError(
        f"{name}() has to know what it compares, and Json may hold anything.",
        hint=f"Say it: t.meta.score.float.{name}(), t.meta.lang.str.{name}().",
    )


def _text(value: Any) -> ir.Value:
    """Make the text of a value: that which it is, or else how JSON writes it."""
    written = ops.Cast(value, dt.string).to_expr().nullif("null")
    return ibis.coalesce(ops.UnwrapJSONString(value).to_expr(), written)


def _length(value: ops.Value) -> ir.Value:
    items = ops.ToJSONArray(value).to_expr().length()
    return ibis.coalesce(items, ops.UnwrapJSONString(value).to_expr().length())


@functools.cache
def _methods(owner: Any) -> frozenset[str]:
    return frozenset(name for name in dir(owner) if name not in dir(ir.JSONColumn))


def _owner(name: Any) -> Any:
    """Return what unwraps the kind of value that a method belongs to."""
    if name in _methods(ir.StringColumn):
        return ops.UnwrapJSONString
    return ops.UnwrapJSONFloat64 if name in _methods(ir.FloatingColumn) else None


def _beside_one_of(value: JsonValue, values: ir.Value) -> ir.Value:
    """Unwrap Json as what the values of a column or an array are."""
    one = ibis.null(values.type().value_type) if isinstance(values, ir.ArrayValue) else values
    return whole_number(value, one) if is_whole(one) else _as_kind_of(value, one)


def _as_kind_of(value: JsonValue, other: Any) -> ir.Value:
    """Unwrap Json as what stands beside it; as itself beside other Json."""
    if isinstance(other, list | tuple | dict | set):
        raise ExpressionError(
            f"Json is not compared with a {type(other).__name__}.",
            value=other,
            hint="Compare its items: t.meta.tags[0] == 'a'.",
        )
    kind = other.type() if isinstance(other, ir.Value) else dt.infer(other)
    if kind.is_boolean():
        return ops.UnwrapJSONBoolean(value).to_expr()
    if isinstance(other, int) and abs(other) > _EXACT:
        return ops.UnwrapJSONInt64(value).to_expr()
    if kind.is_numeric():
        return ops.UnwrapJSONFloat64(value).to_expr()
    if kind.is_string():
        return ops.UnwrapJSONString(value).to_expr()
    if kind.is_temporal() or kind.is_uuid():
        return ops.UnwrapJSONString(value).to_expr().cast(kind)
    return ir.JSONValue(value.op())


def _json_of(value: Any) -> ir.Value | None:
    """Make Json of a value; None of a moment and the like, which JSON does not have."""
    if not isinstance(value, ir.Value):
        plain = isinstance(value, str | bool | int | float | list | tuple | dict)
        return json_constant(value, types.Json()).to_expr() if plain else None
    kind = value.type()
    if kind.is_temporal() or kind.is_uuid():
        return None
    return as_json(value.op(), types.Json()).to_expr()


def _is_text(other: Any) -> bool:
    return isinstance(other, str | ir.StringValue)


def _arithmetic(name: str) -> Any:
    def method(self: JsonValue, *others: Any) -> Any:
        # A text is put together with another; everything else is counted with.
        texts = name in {"__add__", "__radd__"} and any(map(_is_text, others))
        unwrap: Any = ops.UnwrapJSONString if texts else ops.UnwrapJSONFloat64
        values = [
            unwrap(each).to_expr() if isinstance(each, ir.JSONValue) else each
            for each in (self, *others)
        ]
        return getattr(values[0], name)(*values[1:])

    return method


def _with_other_kinds(value: JsonValue, name: str, other: Any, found: Any) -> ir.BooleanValue:
    """Say of what is of another kind than `other` that it is not equal to it."""
    if name not in {"__eq__", "__ne__"}:
        return found
    if name == "__eq__" and isinstance(other, ir.Column):
        return found  # alone, so that a join by it needs not compare all pairs
    known = value.notnull()
    if isinstance(other, ir.Value):
        known &= other.notnull()
    return ibis.coalesce(found, known.ifelse(name == "__ne__", _UNKNOWN))


def _comparison(name: str) -> Any:
    def method(self: JsonValue, other: Any) -> Any:
        if other is None:
            return {"__eq__": self.isnull, "__ne__": self.notnull}.get(
                name, lambda: NotImplemented
            )()
        if not isinstance(other, ir.JSONValue):
            if is_whole(other):
                found = compare_whole(self, name, other)
            else:
                found = getattr(_as_kind_of(self, other), name)(other)
            return _with_other_kinds(self, name, other, found)
        if name in {"__eq__", "__ne__"}:
            return getattr(ir.JSONValue, name)(self, other)
        # Two numbers are compared as numbers, two texts as texts, and nothing else at all.
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
