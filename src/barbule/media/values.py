"""The methods of media and Json columns: they build nodes, they touch no file.

Owns the expression classes of barbule's types, and the one place where they are made known
to Ibis, which finds them by name in `ibis.expr.types`.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule import types
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
    """What image columns can do; names and meaning follow PIL."""

    def width(self) -> ir.IntegerValue:
        """Return the width in pixels."""
        return build_call("barbule.functions.image.width", dt.int64, {"image": self})

    def height(self) -> ir.IntegerValue:
        """Return the height in pixels."""
        return build_call("barbule.functions.image.height", dt.int64, {"image": self})

    def mode(self) -> ir.StringValue:
        """Return PIL's name of the pixel format, "RGB" for example."""
        return build_call("barbule.functions.image.mode", dt.string, {"image": self})

    def resize(self, size: tuple[int, int]) -> ir.StringValue:
        """Resize to (width, height) in pixels."""
        arguments = {"image": self, "size": list(size)}
        return build_call("barbule.functions.image.resize", types.Image(), arguments)

    def rotate(self, angle: float) -> ir.StringValue:
        """Rotate counter-clockwise by `angle` degrees."""
        arguments = {"image": self, "angle": angle}
        return build_call("barbule.functions.image.rotate", types.Image(), arguments)

    def convert(self, mode: str) -> ir.StringValue:
        """Convert to another pixel format, "L" for grey."""
        arguments = {"image": self, "mode": mode}
        return build_call("barbule.functions.image.convert", types.Image(), arguments)


class JsonValue(ir.JSONValue):
    """Json with paths written as attributes and items: `t.meta.a.b[0]`."""

    def __getitem__(self, key: Any) -> Any:
        return ops.JSONGetItem(self, key).to_expr()

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_"):
            raise AttributeError(key)
        return self[key]


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
