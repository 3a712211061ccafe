"""The query of a search as a value: a string, a file, a vector, a column.

Owns how its type is inferred from the Python value and from the searched column.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule import types
from barbule.errors import ExpressionError, with_article
from barbule.nodes import VectorLiteral, image_literal, media_literal

__all__ = ["query_value"]

_SCHEMES = ("http://", "https://", "file://", "s3://", "gs://", "data:", "media:")
_ENDINGS: dict[type[types.Media], frozenset[str]] = {
    types.Image: frozenset(
        ".png .jpg .jpeg .webp .gif .bmp .tif .tiff .avif .heic".split()  # noqa: SIM905 - read easily
    ),
    types.Document: frozenset(
        ".pdf .docx .pptx .xlsx .epub .html .htm .xhtml .md .txt .csv .json .xml".split()  # noqa: SIM905
    ),
    types.Audio: frozenset(".wav .mp3 .flac .ogg .m4a .opus .aac".split()),  # noqa: SIM905
    types.Video: frozenset(".mp4 .mov .webm .mkv .avi .m4v".split()),  # noqa: SIM905
}
# Suffixes that a column of a type also accepts, although such files usually have another type.
_ALSO_ACCEPTED: dict[type[types.Media], frozenset[str]] = {
    types.Audio: _ENDINGS[types.Video],
    types.Video: frozenset({".gif"}),
}
_TYPES_BY_MIME: dict[str, type[types.Media]] = {
    "image": types.Image,
    "audio": types.Audio,
    "video": types.Video,
}
_IMAGE_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
_PIXEL_DIMENSIONS = (2, 3)


def query_value(query: object, column: ir.Value) -> ops.Value:
    """Return the value of a query: a string, a file, a vector, a column.

    A string that looks like a file name is a file if the column holds files. Its suffix determines
    its type: videos may be searched with images.
    """
    if isinstance(query, ir.Expr):
        return query.op()
    kind = column.type()
    if (image := image_literal(_as_image(query, kind))) is not None:
        return image
    if isinstance(query, bytes):
        return media_literal(query, "application/octet-stream", _type_of_bytes(query, kind))
    if isinstance(query, Path):
        return ops.Literal(os.fspath(query), _type_of_file(query.suffix, kind))
    if isinstance(query, str):
        return ops.Literal(query, _type_of_text(query, kind))
    if _is_vector(query):
        return _vector_literal(query)
    numbers = query.tolist() if hasattr(query, "tolist") else query
    if isinstance(numbers, Sequence) and all(isinstance(n, int | float) for n in numbers):
        return _vector_literal(numbers)
    raise ExpressionError(
        f"{with_article(type(query).__name__)} cannot be used as a search query.",
        value=query,
        hint="Search with a string, an image (PIL, path or URL), a vector or a column.",
    )


def _is_vector(query: Any) -> bool:
    """Whether it is a one-dimensional NumPy array of numbers."""
    return type(query).__module__ == "numpy" and query.ndim == 1 and query.dtype.kind in "fiu"


def _as_image(query: Any, kind: dt.DataType) -> object:
    """Convert the pixels of an image to a PIL image, if files are searched."""
    may_be_pixels = types.declaration(kind).is_media and type(query).__module__ == "numpy"
    if not may_be_pixels or query.ndim not in _PIXEL_DIMENSIONS:
        return query
    from PIL import Image

    try:
        return Image.fromarray(query)
    except TypeError as error:
        raise ExpressionError(
            f"an array of {query.dtype} with the shape {query.shape} is not an image.",
            hint="Pass uint8 pixels: height x width, or height x width x 3.",
        ) from error


def _type_of_file(ending: str, kind: dt.DataType) -> dt.DataType:
    """Return the type of a file by its suffix; with another suffix it has the column's type."""
    column_type = type(kind)() if types.declaration(kind).is_media else types.Document()
    if _accepts(column_type, ending):
        return column_type
    media_types = (
        media_type for media_type, endings in _ENDINGS.items() if ending.lower() in endings
    )
    media_type = next(media_types, None)
    return column_type if media_type is None else media_type()


def _accepts(kind: dt.DataType, ending: str) -> bool:
    """Whether columns of a type hold files with a suffix."""
    ending = ending.lower()
    return any(ending in endings.get(type(kind), ()) for endings in (_ENDINGS, _ALSO_ACCEPTED))


def _type_of_text(text: str, kind: dt.DataType) -> dt.DataType:
    """Return whether a string is a query text or the path or URL of a file."""
    if not types.declaration(kind).is_media or "\n" in text:
        return dt.string
    if text.startswith("data:"):
        mime = text.removeprefix("data:").partition("/")[0]
        return _TYPES_BY_MIME.get(mime, type(kind))()
    if text.startswith(_SCHEMES):
        return _type_of_file(Path(urlsplit(text).path).suffix, kind)
    file_type = _type_of_file(ending := Path(text).suffix, kind)
    if type(file_type) is not type(kind):
        is_name = os.sep in text  # "README.md" may be text that an image shows
    elif _accepts(kind, ending):
        is_name = True
    else:
        return dt.string
    # "what is there in cat.png" is a question.
    is_file = (is_name and len(text.split()) == 1) or Path(text).exists()
    return file_type if is_file else dt.string


def _type_of_bytes(data: bytes, kind: dt.DataType) -> dt.DataType:
    """Return the type of a file by its content: an image by its header, otherwise the column's."""
    is_image = data.startswith(_IMAGE_SIGNATURES) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
    return types.Image() if is_image or not types.declaration(kind).is_media else type(kind)()


def _vector_literal(numbers: Any) -> VectorLiteral:
    import numpy as np

    with np.errstate(over="ignore"):
        vector = np.asarray(numbers, np.float32)
    if not np.isfinite(vector).all():
        raise ExpressionError(
            "the query vector holds NaN, an infinite number or a number that is too large.",
            hint="Check the vector that the embedding function returned.",
        )
    return VectorLiteral(base64.b64encode(vector.tobytes()).decode(), len(vector))
