"""The methods of media and Json columns: they build nodes, they touch no file.

Owns the expression classes of barbule's types, and the one place where they are made known
to Ibis, which finds them by name in `ibis.expr.types`.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.nodes import build_call

__all__ = ["ImageValue", "JsonValue", "MediaValue"]


class MediaValue(ir.StringValue):
    """What every media column can do."""

    def uri(self) -> ir.StringValue:
        """Return the reference as text: a path, a URL, or a name in the media store."""
        return self.cast(dt.string)

    def sha256(self) -> ir.StringValue:
        """Return the SHA-256 of the content, as 64 hexadecimal digits."""
        return build_call("barbule.functions.media.sha256", dt.string, {"media": self})


class ImageValue(MediaValue):
    """What image columns can do; names and meaning follow PIL.

    Its methods are the functions of `barbule.functions.image`, which put them here.
    """


class JsonValue(ir.JSONValue):
    """Json with paths written as attributes and items: `t.meta.a.b[0]`.

    In arithmetic it is a number (float64, missing where it is none); compared with a text, a
    number or a bool it is of that kind.
    """

    def __getitem__(self, key: Any) -> Any:
        return ops.JSONGetItem(self, key).to_expr()

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        return self[key]


def _as_kind_of(value: JsonValue, other: Any) -> ir.Value:
    """Unwrap Json as what it is compared with; as itself beside other Json."""
    kind = other.type() if isinstance(other, ir.Value) else dt.infer(other)
    if kind.is_boolean():
        return ops.UnwrapJSONBoolean(value).to_expr()
    if kind.is_numeric():
        return ops.UnwrapJSONFloat64(value).to_expr()
    if kind.is_string():
        return ops.UnwrapJSONString(value).to_expr()
    return ir.JSONValue(value.op())


def _arithmetic(name: str) -> Any:
    def method(self: JsonValue, *others: Any) -> Any:
        numbers = [
            ops.UnwrapJSONFloat64(each).to_expr() if isinstance(each, ir.JSONValue) else each
            for each in (self, *others)
        ]
        return getattr(numbers[0], name)(*numbers[1:])

    return method


def _comparison(name: str) -> Any:
    def method(self: JsonValue, other: Any) -> Any:
        plain = getattr(ir.JSONValue, name)
        if other is None or isinstance(other, ir.JSONValue | list | dict):
            return plain(self, other)
        return getattr(_as_kind_of(self, other), name)(other)

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    for _side in ("", "r"):
        setattr(JsonValue, f"__{_side}{_name}__", _arithmetic(f"__{_side}{_name}__"))
for _name in ("neg", "abs"):
    setattr(JsonValue, f"__{_name}__", _arithmetic(f"__{_name}__"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(JsonValue, f"__{_name}__", _comparison(f"__{_name}__"))


def _declare(name: str, value: type) -> None:
    """Make the scalar and the column class of a type known to Ibis."""
    base = next(klass for klass in value.__mro__ if klass.__module__.startswith("ibis."))
    stem = base.__name__.removesuffix("Value")
    for kind in ("Scalar", "Column"):
        parent = getattr(ir, f"{stem}{kind}")
        cls = type(f"Barbule{name}{kind}", (value, parent), {"__slots__": ()})
        setattr(ir, cls.__name__, cls)


_declare("Media", MediaValue)
_declare("Image", ImageValue)
_declare("Json", JsonValue)
