"""What is searched for, as a value: a text, a file, a vector, a column.

Owns how the kind of a query is told from what a user gives and from the column that is asked.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule import types
from barbule.errors import ExpressionError
from barbule.nodes import VectorLiteral, image_literal, media_literal

__all__ = ["query_value"]

_SCHEMES = ("http://", "https://", "file://", "s3://", "gs://", "data:", "media:")
_ENDINGS: dict[type[types.Media], frozenset[str]] = {
    types.Image: frozenset(
        ".png .jpg .jpeg .webp .gif .bmp .tif .tiff .avif .heic".split()  # noqa: SIM905 - read easily
    ),
    types.Document: frozenset(".pdf .docx .pptx .html .htm .md .txt".split()),  # noqa: SIM905
    types.Audio: frozenset(".wav .mp3 .flac .ogg .m4a .opus .aac".split()),  # noqa: SIM905
    types.Video: frozenset(".mp4 .mov .webm .mkv .avi .m4v".split()),  # noqa: SIM905
}
_PICTURE_DIMENSIONS = (2, 3)


def query_value(query: Any, column: ir.Value) -> ops.Value:
    """Turn what a user searches for into a value: a text, a file, a vector, a column.

    A text that looks like the name of a file is one when the column holds files of that kind.
    """
    if isinstance(query, ir.Expr):
        return query.op()
    kind = column.type()
    if (image := image_literal(_picture(query, kind))) is not None:
        return image
    if isinstance(query, bytes):
        given = kind if isinstance(kind, types.Media) else types.Image()
        return media_literal(query, "application/octet-stream", given.copy(nullable=True))
    if isinstance(query, Path):
        return ops.Literal(os.fspath(query), _kind_of_file(query.suffix.lower(), kind))
    if isinstance(query, str):
        file = isinstance(kind, types.Media) and _names_a_file(query, type(kind))
        return ops.Literal(query, type(kind)() if file else dt.string)
    if _is_flat(query):
        return _vector_literal(query)
    numbers = query.tolist() if hasattr(query, "tolist") else query
    if isinstance(numbers, Sequence) and all(isinstance(n, int | float) for n in numbers):
        return _vector_literal(numbers)
    raise ExpressionError(
        f"a {type(query).__name__} cannot be searched for.",
        value=query,
        hint="Search with a text, an image (PIL, path or URL), a vector or a column.",
    )


def _is_flat(query: Any) -> bool:
    """Whether it is a NumPy array of one dimension, of numbers."""
    return type(query).__module__ == "numpy" and query.ndim == 1 and query.dtype.kind in "fiu"


def _picture(query: Any, kind: dt.DataType) -> Any:
    """Make a PIL image of the pixels of one, where images are searched."""
    pixels = isinstance(kind, types.Image) and type(query).__module__ == "numpy"
    if not pixels or query.ndim not in _PICTURE_DIMENSIONS:
        return query
    from PIL import Image

    try:
        return Image.fromarray(query)
    except TypeError as error:
        raise ExpressionError(
            f"an array of {query.dtype} and shape {query.shape} is no image.",
            hint="Give uint8 pixels: height x width, or height x width x 3.",
        ) from error


def _kind_of_file(ending: str, kind: dt.DataType) -> dt.DataType:
    if isinstance(kind, types.Media):
        return type(kind)()
    found = (each() for each, endings in _ENDINGS.items() if ending in endings)
    return next(found, types.Document())


def _names_a_file(text: str, kind: type[types.Media]) -> bool:
    if text.startswith(_SCHEMES):
        return True
    named = Path(text.lower()).suffix in _ENDINGS.get(kind, ()) and "\n" not in text
    # "what is shown in cat.png" is a question.
    return named and (len(text.split()) == 1 or Path(text).exists())


def _vector_literal(numbers: Any) -> VectorLiteral:
    import numpy as np

    with np.errstate(over="ignore"):
        vector = np.asarray(numbers, np.float32)
    if not np.isfinite(vector).all():
        raise ExpressionError(
            "the query vector holds NaN, an infinite or a far too large number.",
            hint="Check what the embedding gave.",
        )
    return VectorLiteral(base64.b64encode(vector.tobytes()).decode(), len(vector))
