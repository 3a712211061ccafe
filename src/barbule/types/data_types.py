"""The data types with a meaning of their own, names for the others.

What a type means for storage, files and display is its entry in `types.declarations.entries`.
"""

from __future__ import annotations

import ibis.expr.datatypes as dt

__all__ = [
    "MAX_DIGITS",
    "UUID",
    "VARIABLE_UNITS",
    "Audio",
    "Binary",
    "Bool",
    "Date",
    "Document",
    "Duration",
    "Float",
    "Image",
    "Int",
    "Json",
    "Media",
    "String",
    "Time",
    "Timestamp",
    "Video",
]

String = dt.String
Int = dt.Int64
Float = dt.Float64
Bool = dt.Boolean
Timestamp = dt.Timestamp
Duration = dt.Interval("us")
Date = dt.Date
Time = dt.Time
UUID = dt.UUID
Binary = dt.Binary


MAX_DIGITS = 38  # of a decimal with 128 bits, as Arrow and the databases have it
VARIABLE_UNITS = {"M", "Q", "Y"}  # of intervals without a fixed length


class Media(dt.String):
    """A reference to a file: a path, a URL or a name in the media store.

    The common base class of `Image`, `Audio`, `Video` and `Document`; stored as a string.
    """


class Image(Media):
    """An image; functions receive it as a PIL image.

    Examples
    --------
    >>> Image().is_string()
    True
    """

    scalar = "BarbuleImageScalar"
    column = "BarbuleImageColumn"


class Audio(Media):
    """An audio file; functions receive it as a local path."""

    scalar = "BarbuleAudioScalar"
    column = "BarbuleAudioColumn"


class Video(Media):
    """A video file; functions receive it as a local path."""

    scalar = "BarbuleVideoScalar"
    column = "BarbuleVideoColumn"


class Document(Media):
    """A document (PDF, DOCX, HTML, Markdown …); functions receive it as a local path."""

    scalar = "BarbuleDocumentScalar"
    column = "BarbuleDocumentColumn"


class Json(dt.JSON):
    """Any JSON value; paths into it are written as attributes and items (`t.meta.a.b[0]`)."""

    scalar = "BarbuleJsonScalar"
    column = "BarbuleJsonColumn"
