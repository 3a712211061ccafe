"""The data types of barbule: Ibis data types, some with a meaning of their own.

Owns the type names that users write, how Python annotations become data types, and the
*storage form* of each type: what a backend is given to keep. Knows no tables and no
expressions.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import re
import types as pytypes
import typing
import uuid
from collections.abc import Mapping
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.errors import SchemaError

__all__ = [
    "UUID",
    "Array",
    "ArrayType",
    "Audio",
    "Binary",
    "Bool",
    "Date",
    "Document",
    "Float",
    "Image",
    "Int",
    "Json",
    "Media",
    "String",
    "Struct",
    "Time",
    "Timestamp",
    "Vector",
    "Video",
    "dtype",
    "schema",
    "storage",
    "storage_schema",
]

String = dt.String
Int = dt.Int64
Float = dt.Float64
Bool = dt.Boolean
Timestamp = dt.Timestamp
Date = dt.Date
Time = dt.Time
UUID = dt.UUID
Binary = dt.Binary


class Media(dt.String):
    """A reference to a file: a path, a URL or a name in the media store.

    The common root of `Image`, `Audio`, `Video` and `Document`; stored as text.
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
    """A sound file; functions receive it as a local path."""

    scalar = "BarbuleMediaScalar"
    column = "BarbuleMediaColumn"


class Video(Media):
    """A video file; functions receive it as a local path."""

    scalar = "BarbuleMediaScalar"
    column = "BarbuleMediaColumn"


class Document(Media):
    """A document (PDF, DOCX, HTML, Markdown …); functions receive it as a local path."""

    scalar = "BarbuleMediaScalar"
    column = "BarbuleMediaColumn"


class Json(dt.JSON):
    """Any JSON value; paths into it are written as attributes and items (`t.meta.a.b[0]`)."""

    scalar = "BarbuleJsonScalar"
    column = "BarbuleJsonColumn"


def Array(dtype: Any, length: int | None = None, *, nullable: bool = True) -> dt.Array:  # noqa: N802 - written like a type
    """Make the type of a list of `dtype` values.

    Examples
    --------
    >>> str(Array(String))
    'array<string>'
    """
    return dt.Array(_dtype(dtype), length=length, nullable=nullable)


ArrayType = Array


def Vector(length: int, *, nullable: bool = True) -> dt.Array:  # noqa: N802 - written like a type
    """Make the type of a vector of `length` 32-bit floats.

    Parameters
    ----------
    length
        How many numbers each vector has; 1 or more.
    nullable
        Whether a cell may be empty.

    Raises
    ------
    SchemaError
        When `length` is not a positive whole number.

    Examples
    --------
    >>> Vector(3).length
    3
    """
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise SchemaError(
            "the length of a vector is a whole number from 1.", value=length, hint="Vector(384)."
        )
    return dt.Array(dt.float32, length=length, nullable=nullable)


def Struct(fields: Mapping[str, Any], *, nullable: bool = True) -> dt.Struct:  # noqa: N802 - written like a type
    """Make the type of a record with named fields.

    Examples
    --------
    >>> str(Struct({"label": String, "score": Float}))
    'struct<label: string, score: float64>'
    """
    return dt.Struct({name: _dtype(kind) for name, kind in fields.items()}, nullable=nullable)


_NAMES: dict[str, type[dt.DataType]] = {
    "image": Image,
    "audio": Audio,
    "video": Video,
    "document": Document,
    "json": Json,
    "int": dt.Int64,
    "float": dt.Float64,
    "bool": dt.Boolean,
    "str": dt.String,
}

_PYTHON: dict[Any, type[dt.DataType]] = {
    str: dt.String,
    int: dt.Int64,
    float: dt.Float64,
    bool: dt.Boolean,
    bytes: dt.Binary,
    datetime.datetime: dt.Timestamp,
    datetime.date: dt.Date,
    datetime.time: dt.Time,
    uuid.UUID: dt.UUID,
    decimal.Decimal: dt.Decimal,
    dict: Json,
    list: Json,
    tuple: Json,
    Any: Json,
}


def dtype(kind: Any) -> dt.DataType:
    """Turn what a user writes for a type into an Ibis data type.

    Parameters
    ----------
    kind
        A type of this module or of Ibis (class or instance), its name ("int64", "image",
        "vector(384)"), a Python type or annotation (`int`, `str | None`, `list[str]`), a PIL
        image class, or a pydantic model, dataclass or TypedDict, which become a Struct.

    Returns
    -------
    ibis.expr.datatypes.DataType

    Raises
    ------
    SchemaError
        When `kind` names no type.

    Examples
    --------
    >>> str(dtype("vector(3)")), str(dtype(list[int]))
    ('array<float32, 3>', 'array<int64>')
    """
    if isinstance(kind, dt.DataType):
        return kind
    if inspect.isclass(kind) and issubclass(kind, dt.DataType):
        return kind()
    if isinstance(kind, str):
        return _from_name(kind)
    return _from_annotation(kind)


_dtype = dtype  # `dtype` is a parameter name of `Array`, as its users write it


def _from_name(name: str) -> dt.DataType:
    plain = name.strip().lower()
    if plain in _NAMES:
        return _NAMES[plain]()
    if match := re.fullmatch(r"vector\((\d+)\)", plain):
        return Vector(int(match[1]))
    try:
        return dt.dtype(name)
    except Exception as error:
        raise SchemaError(
            f"no type is called {name!r}.",
            hint=f"Use an Ibis type such as 'int64', or one of {', '.join(sorted(_NAMES))}.",
        ) from error


def _from_annotation(kind: Any) -> dt.DataType:
    if kind in _PYTHON if _hashable(kind) else False:
        return _PYTHON[kind]()
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, pytypes.UnionType}:
        return _from_union(kind, arguments)
    if origin is typing.Annotated:  # Annotated[Any, bb.Image] says the type beside it
        given = [each for each in kind.__metadata__ if _is_dtype(each)]
        return dtype(given[0] if given else arguments[0])
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return dtype(type(next(iter(kind)).value))
    if origin is typing.Literal:
        return dtype(type(arguments[0]))
    if origin in {list, tuple, set, frozenset}:
        return dt.Array(dtype(arguments[0]))
    if origin is not None and inspect.isclass(origin) and issubclass(origin, Mapping | dict):
        return Json()
    if inspect.isclass(kind) and (fields := fields_of(kind)) is not None:
        return dt.Struct({name: dtype(hint) for name, hint in fields.items()})
    if inspect.isclass(kind) and kind.__module__.startswith("PIL."):
        return Image()
    raise SchemaError(
        "this is no type that a column can have.",
        value=kind,
        hint="Use a type such as bb.String, bb.Image or bb.Vector(384), or a Python type.",
    )


def _is_dtype(kind: Any) -> bool:
    return isinstance(kind, dt.DataType) or (
        inspect.isclass(kind) and issubclass(kind, dt.DataType)
    )


def _from_union(kind: Any, arguments: tuple[Any, ...]) -> dt.DataType:
    inner = [each for each in arguments if each is not type(None)]
    if len(inner) == 1:
        return dtype(inner[0]).copy(nullable=True)
    raise SchemaError(
        "a column has one type, and this annotation allows several.", value=kind, hint="Choose one."
    )


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def fields_of(kind: Any) -> dict[str, Any] | None:
    """Return the annotated fields of a pydantic model, dataclass or TypedDict, else None."""
    if hasattr(kind, "model_fields"):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return typing.get_type_hints(kind)
    return None


def schema(columns: Any) -> sch.Schema:
    """Turn what a user writes for a schema into an Ibis schema.

    Parameters
    ----------
    columns
        A mapping of column names to types (whatever `dtype` takes), an `ibis.Schema`, or a
        pydantic model, dataclass or TypedDict.

    Raises
    ------
    SchemaError
        When a name is empty or no string, or a type is unknown; the message names the column.

    Examples
    --------
    >>> schema({"name": str, "revenue": "float64"}).names
    ('name', 'revenue')
    """
    if isinstance(columns, sch.Schema):
        return columns
    fields = columns if isinstance(columns, Mapping) else fields_of(columns)
    if fields is None:
        raise SchemaError(
            "a schema is a mapping of column names to types, a pydantic model or a dataclass.",
            value=columns,
            hint='For example {"name": bb.String, "revenue": bb.Float}.',
        )
    checked: dict[str, dt.DataType] = {}
    for name, kind in fields.items():
        if not isinstance(name, str) or not name:
            raise SchemaError("a column name is a text that is not empty.", value=name)
        try:
            checked[name] = dtype(kind)
        except SchemaError as error:
            raise error.at(column=name) from error.__cause__
    return sch.Schema(checked)


def storage(kind: dt.DataType) -> dt.DataType:
    """Return the plain Ibis type in which a backend keeps values of `kind`.

    Examples
    --------
    >>> str(storage(Image()))
    'string'
    """
    if isinstance(kind, Media):
        return dt.String(nullable=kind.nullable)
    if isinstance(kind, Json):
        return dt.JSON(nullable=kind.nullable)
    if isinstance(kind, dt.Array):
        return dt.Array(storage(kind.value_type), length=kind.length, nullable=kind.nullable)
    if isinstance(kind, dt.Struct):
        return dt.Struct(
            {name: storage(inner) for name, inner in kind.fields.items()}, nullable=kind.nullable
        )
    if isinstance(kind, dt.Map):
        return dt.Map(storage(kind.key_type), storage(kind.value_type), nullable=kind.nullable)
    return kind


def storage_schema(columns: sch.Schema) -> sch.Schema:
    """Return `columns` with each type in its storage form."""
    return sch.Schema({name: storage(kind) for name, kind in columns.items()})
