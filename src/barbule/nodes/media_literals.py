"""Media files within expressions, as `data:` URIs.

Owns how the bytes of a file, or a PIL image, are converted to a literal.
"""

from __future__ import annotations

import base64

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule import types

__all__ = ["image_literal", "media_literal"]


def media_literal(data: bytes, mime: str, kind: dt.DataType) -> ops.Literal:
    """Return a literal that carries the content of a media file as a data: URI."""
    return ops.Literal(f"data:{mime};base64,{base64.b64encode(data).decode()}", kind)


def image_literal(value: object) -> ops.Literal | None:
    """Return a literal for a PIL image, otherwise None."""
    if not type(value).__module__.startswith("PIL.") or not hasattr(value, "save"):
        return None
    import io

    buffer = io.BytesIO()
    value.save(buffer, format="PNG")
    return media_literal(buffer.getvalue(), "image/png", types.Image())
