"""The data types with a meaning of their own, names for the others, and their storage form."""

from __future__ import annotations

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.types.zones import canonical_zone

__all__ = [
    "MAX_DIGITS",
    "UUID",
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
    "canonical",
    "storage",
    "storage_schema",
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
_DEFAULT_SCALE = 9  # of a decimal without a scale, as Ibis converts it to Arrow


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


def _rebuild(kind: dt.DataType, change: type[dt.DataType] | None) -> dt.DataType:
    """Rebuild a type from the inside out; `change` replaces JSON, None returns the storage form."""
    nullable = kind.nullable
    if isinstance(kind, dt.Array):
        inner = _rebuild_inner(kind.value_type, change)
        return kind if inner == kind.value_type else kind.copy(value_type=inner)
    if isinstance(kind, dt.Struct):
        fields = {name: _rebuild_inner(field, change) for name, field in kind.fields.items()}
        return kind if fields == dict(kind.fields) else kind.copy(fields=fields)
    if isinstance(kind, dt.Map):
        key, value = _rebuild(kind.key_type, change), _rebuild_inner(kind.value_type, change)
        return dt.Map(key, value, nullable=nullable)
    if change is not None:
        return _canonical_leaf(kind, change)
    if isinstance(kind, Media):
        return dt.String(nullable=nullable)
    return dt.JSON(nullable=nullable) if isinstance(kind, Json) else kind


def _rebuild_inner(kind: dt.DataType, change: type[dt.DataType] | None) -> dt.DataType:
    """Rebuild the type of a part; in storage it is nullable, as the parent may be missing."""
    rebuilt = _rebuild(kind, change)
    return rebuilt if change is not None or rebuilt.nullable else rebuilt.copy(nullable=True)


def _canonical_leaf(kind: dt.DataType, change: type[dt.DataType]) -> dt.DataType:
    if isinstance(kind, dt.Interval) and kind.unit.short not in VARIABLE_UNITS:
        return Duration.copy(nullable=kind.nullable)
    if isinstance(kind, dt.Float16):
        return dt.Float32(nullable=kind.nullable)
    if isinstance(kind, dt.Decimal) and None in {kind.precision, kind.scale}:
        scale = 0 if kind.precision is not None else _DEFAULT_SCALE
        return kind.copy(
            precision=kind.precision or MAX_DIGITS,
            scale=scale if kind.scale is None else kind.scale,
        )
    if isinstance(kind, dt.Timestamp) and kind.timezone is not None:
        # Databases store them in microseconds.
        zone = canonical_zone(kind.timezone) or kind.timezone
        return kind.copy(timezone=zone, scale=min(kind.scale, 6) if kind.scale else kind.scale)
    return change(nullable=kind.nullable) if type(kind) is dt.JSON else kind


def canonical(kind: dt.DataType) -> dt.DataType:
    """Return the type in which a column holds values of `kind`.

    Ibis' JSON, which has no paths, becomes `Json`; a float16, which databases lack, a float32; a
    decimal without precision gets the largest; an interval counts microseconds.

    Examples
    --------
    >>> type(canonical(dt.Array(dt.json)).value_type).__name__
    'Json'
    >>> str(canonical(dt.float16)), str(canonical(dt.Decimal()))
    ('float32', 'decimal(38, 9)')
    """
    return _rebuild(kind, Json)


def storage(kind: dt.DataType) -> dt.DataType:
    """Return the plain Ibis type in which a backend stores values of `kind`.

    Examples
    --------
    >>> str(storage(Image()))
    'string'
    """
    return _rebuild(kind, None)


def storage_schema(columns: sch.Schema) -> sch.Schema:
    """Return `columns` with each type in its storage form."""
    return sch.Schema({name: storage(kind) for name, kind in columns.items()})
