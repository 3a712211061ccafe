"""What is searched for, as a value: a text, a file, a vector, a column.

Owns how the kind of a query is told from what a user gives and from the column that is asked.
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
from barbule.errors import ExpressionError
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
# What a column of one kind takes too, though files of these names are rather of another.
_TAKEN: dict[type[types.Media], frozenset[str]] = {
    types.Audio: _ENDINGS[types.Video],
    types.Video: frozenset({".gif"}),
}
_MIMES: dict[str, type[types.Media]] = {
    "image": types.Image,
    "audio": types.Audio,
    "video": types.Video,
}
_IMAGE_MARKS = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
_PICTURE_DIMENSIONS = (2, 3)


def query_value(query: Any, column: ir.Value) -> ops.Value:
    """Turn what a user searches for into a value: a text, a file, a vector, a column.

    A text that looks like the name of a file is one when the column holds files. Of which kind it
    is, its ending tells: videos may be searched for images.
    """
    if isinstance(query, ir.Expr):
        return query.op()
    kind = column.type()
    if (image := image_literal(_picture(query, kind))) is not None:
        return image
    if isinstance(query, bytes):
        return media_literal(query, "application/octet-stream", _kind_of_bytes(query, kind))
    if isinstance(query, Path):
        return ops.Literal(os.fspath(query), _kind_of_file(query.suffix, kind))
    if isinstance(query, str):
        return ops.Literal(query, _kind_of_text(query, kind))
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
    """Make a PIL image of the pixels of one, where files are searched."""
    pixels = isinstance(kind, types.Media) and type(query).__module__ == "numpy"
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
    """Tell what a file is by its ending; one that tells nothing is what the column holds."""
    own = type(kind)() if isinstance(kind, types.Media) else types.Document()
    if _holds(own, ending):
        return own
    return next((each() for each, names in _ENDINGS.items() if ending.lower() in names), own)


def _holds(kind: dt.DataType, ending: str) -> bool:
    """Whether columns of a kind hold files with an ending."""
    ending = ending.lower()
    return any(ending in known.get(type(kind), ()) for known in (_ENDINGS, _TAKEN))


def _kind_of_text(text: str, kind: dt.DataType) -> dt.DataType:
    """Tell whether a text is searched for, or the file of which it is the path or the URL."""
    if not isinstance(kind, types.Media) or "\n" in text:
        return dt.string
    if text.startswith("data:"):
        mime = text.removeprefix("data:").partition("/")[0]
        return _MIMES.get(mime, type(kind))()
    if text.startswith(_SCHEMES):
        return _kind_of_file(Path(urlsplit(text).path).suffix, kind)
    found = _kind_of_file(ending := Path(text).suffix, kind)
    if type(found) is not type(kind):
        named = os.sep in text  # "README.md" may be what is shown in an image
    elif _holds(kind, ending):
        named = True
    else:
        return dt.string
    # "what is shown in cat.png" is a question.
    return found if (named and len(text.split()) == 1) or Path(text).exists() else dt.string


def _kind_of_bytes(data: bytes, kind: dt.DataType) -> dt.DataType:
    """Tell what the content of a file is: an image where it begins as one, else the column's."""
    image = data.startswith(_IMAGE_MARKS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
    return types.Image() if image or not isinstance(kind, types.Media) else type(kind)()


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
