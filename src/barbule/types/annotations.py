"""What users write for a type: classes, names, Python annotations, types of other libraries.

Owns `dtype`, and the functions that read like types (`Array`, `Vector`, `Struct`).
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import inspect
import pathlib
import re
import types as pytypes
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ibis.expr.datatypes as dt

from barbule.errors import SchemaError
from barbule.types.arrow import of_arrow, of_arrow_field
from barbule.types.kinds import Audio, Document, Duration, Image, Json, Video, canonical

__all__ = ["Array", "ArrayType", "Struct", "Vector", "dtype", "fields_of", "is_typed_dict"]


def Array(dtype: Any, length: int | None = None, *, nullable: bool = True) -> dt.Array:  # noqa: N802 - written like a type
    """Make the type of a list of `dtype` values.

    Parameters
    ----------
    dtype
        The type of the values, as for `bb.create_table`.
    length
        How many each list has; None for any number.
    nullable
        Whether a cell may be empty.

    Examples
    --------
    >>> from barbule.types import String
    >>> str(Array(String))
    'array<string>'
    """
    if length is not None:
        _check_length(length, "an array", "Array(Float, length=3)")
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
    _check_length(length, "a vector", "Vector(384)")
    return dt.Array(dt.float32, length=length, nullable=nullable)


def _check_length(length: Any, what: str, example: str) -> None:
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise SchemaError(
            f"the length of {what} is a whole number from 1.", value=length, hint=f"{example}."
        )


def Struct(fields: Mapping[str, Any], *, nullable: bool = True) -> dt.Struct:  # noqa: N802 - written like a type
    """Make the type of a record with named fields.

    Examples
    --------
    >>> from barbule.types import Float, String
    >>> str(Struct({"label": String, "score": Float}))
    'struct<label: string, score: float64>'
    """
    if not isinstance(fields, Mapping):
        raise SchemaError(
            "a struct has fields with names.", value=fields, hint='Struct({"label": String}).'
        )
    return _struct(fields, (), nullable=nullable)


_NAMES: dict[str, Callable[[], dt.DataType]] = {
    "duration": lambda: Duration,
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

_PYTHON: dict[Any, Callable[[], dt.DataType]] = {
    str: dt.String,
    int: dt.Int64,
    float: dt.Float64,
    bool: dt.Boolean,
    bytes: dt.Binary,
    bytearray: dt.Binary,
    datetime.datetime: dt.Timestamp,
    datetime.timedelta: lambda: Duration,
    datetime.date: dt.Date,
    datetime.time: dt.Time,
    uuid.UUID: dt.UUID,
    decimal.Decimal: dt.Decimal,
    dict: Json,
    list: Json,
    tuple: Json,
    set: Json,
    Any: Json,
    pathlib.PurePath: dt.String,
}

# Types of these libraries say themselves what they are.
_LIBRARIES = {"numpy", "pandas", "polars", "pyarrow"}

Outer = tuple[Any, ...]  # the classes around an annotation, which it must not lead back to


def dtype(kind: Any) -> dt.DataType:
    """Turn what a user writes for a type into an Ibis data type.

    Parameters
    ----------
    kind
        A type of this module or of Ibis (class or instance), its name ("int64", "image",
        "vector(384)", "!string" for one that is required), a Python type or annotation (`int`,
        `str | None`, `list[str]`, `Literal[...]`, an `Enum`), a type of NumPy, pandas, polars or
        Arrow, a PIL image class, or a pydantic model, dataclass or TypedDict, which become a
        Struct.

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
    return canonical(_read(kind, ()))


_dtype = dtype  # `dtype` is a parameter name of `Array`, as its users write it


def _read(kind: Any, outer: Outer) -> dt.DataType:
    if isinstance(kind, dt.DataType):
        return canonical(kind)
    if _is_dtype(kind):
        return _made(kind)
    if isinstance(kind, str):
        return _from_name(kind)
    return _from_annotation(kind, outer)


def _is_dtype(kind: Any) -> bool:
    return isinstance(kind, dt.DataType) or (
        inspect.isclass(kind) and issubclass(kind, dt.DataType)
    )


def _made(kind: type[dt.DataType]) -> dt.DataType:
    try:
        return canonical(kind())
    except Exception as error:  # what Ibis raises is its own business
        raise SchemaError(
            f"{kind.__name__} is a type of other types.",
            hint="Say which: Array(String), Struct({...}), or an instance of it.",
        ) from error


def _from_name(name: str) -> dt.DataType:
    text = name.strip()
    if text.startswith("!"):
        return _from_name(text[1:]).copy(nullable=False)
    plain = text.lower()
    if plain in _NAMES:
        return _NAMES[plain]()
    if match := re.fullmatch(r"vector\(\s*(\d+)\s*\)", plain):
        return Vector(int(match[1]))
    match = re.fullmatch(r"array<(.+?)(?:,\s*(\d+))?>", text, re.IGNORECASE)
    if match and match[1].strip().lower() in _NAMES:  # names that Ibis does not know
        return Array(match[1], int(match[2]) if match[2] else None)
    try:
        return canonical(dt.dtype(text))
    except Exception as error:
        raise SchemaError(
            f"no type is called {name!r}.",
            hint=f"Use an Ibis type such as 'int64', or one of {', '.join(sorted(_NAMES))}.",
        ) from error


def _from_annotation(kind: Any, outer: Outer) -> dt.DataType:
    for read in _READERS:
        found = read(kind, outer)
        if found is not None:
            return found
    raise SchemaError(
        "this is no type that a column can have.",
        value=kind,
        hint="Use a type such as bb.String, bb.Image or bb.Vector(384), or a Python type.",
    )


def _named(kind: Any, _: Outer) -> dt.DataType | None:
    """Read a Python type that is known as it is."""
    try:
        return _PYTHON[kind]() if kind in _PYTHON else None
    except TypeError:  # it has no hash, and is no type
        return None


def _renamed(kind: Any, outer: Outer) -> dt.DataType | None:
    """Look behind `NewType`, `type X = ...` and type variables with a bound."""
    for name in ("__supertype__", "__value__", "__bound__"):
        inner = getattr(kind, name, None)
        if inner is not None and not inspect.isclass(kind):
            return _read(inner, outer)
    return None


def _generic(kind: Any, outer: Outer) -> dt.DataType | None:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, pytypes.UnionType}:
        return _union([_read(each, outer) for each in arguments if each is not _NONE], kind)
    if origin is typing.Annotated:
        return _annotated(arguments[0], kind.__metadata__, outer)
    if origin is typing.Literal:
        return _union(_types_of_values(arguments), kind)
    if origin in {typing.Required, typing.NotRequired, typing.Final}:
        return _read(arguments[0], outer)
    if not inspect.isclass(origin):
        return None
    if issubclass(origin, Mapping):
        return Json()
    if issubclass(origin, Iterable):
        return _listed(origin, arguments, outer)
    return None


_NONE = type(None)


def _listed(origin: type, arguments: tuple[Any, ...], outer: Outer) -> dt.DataType | None:
    if not arguments:
        return Json()
    items = [each for each in arguments if each is not Ellipsis]
    if not issubclass(origin, tuple):
        return dt.Array(_read(items[0], outer)) if len(items) == 1 else None
    try:
        return dt.Array(_union([_read(each, outer) for each in items], origin))
    except SchemaError:
        return Json()  # a tuple of different things


def _annotated(kind: Any, metadata: Iterable[Any], outer: Outer) -> dt.DataType:
    """Read `Annotated[Any, bb.Image]`, which says the type beside it, or limits of a decimal."""
    metadata = [note for each in metadata for note in getattr(each, "metadata", None) or [each]]
    if given := [each for each in metadata if _is_dtype(each)]:
        return _read(given[0], outer)
    found = _read(kind, outer)
    if type(found) is dt.Decimal:
        limits = {
            name: getattr(each, name)
            for each in metadata
            for name in ("max_digits", "decimal_places")
            if getattr(each, name, None) is not None
        }
        if "max_digits" in limits:
            scale = limits.get("decimal_places", 0)
            return dt.Decimal(limits["max_digits"], scale, nullable=found.nullable)
    return found


def _types_of_values(values: Iterable[Any]) -> list[dt.DataType]:
    kinds = dict.fromkeys(type(each) for each in values if each is not None)
    return [_read(each, ()) for each in kinds]


def _union(kinds: list[dt.DataType], shown: Any) -> dt.DataType:
    """Find the one type of several: they are equal, or all are numbers."""
    plain = list(dict.fromkeys(each.copy(nullable=True) for each in kinds))
    if len(plain) == 1:
        return plain[0]
    if plain and all(isinstance(each, dt.Integer | dt.Floating) for each in plain):
        return dt.float64 if any(map(_is_float, plain)) else dt.int64
    raise SchemaError(
        "a column has one type, and this annotation allows "
        + ("several." if plain else "no value at all."),
        value=shown,
        hint="Choose one; bb.Json takes any mixture.",
    )


def _is_float(kind: dt.DataType) -> bool:
    return isinstance(kind, dt.Floating)


def _class(kind: Any, outer: Outer) -> dt.DataType | None:
    if not inspect.isclass(kind):
        return None
    if issubclass(kind, enum.Enum):
        return _union(_types_of_values(member.value for member in kind), kind)
    if kind.__module__.split(".")[0] == "PIL":
        return Image()
    if (fields := fields_of(kind)) is not None:
        if kind in outer:
            raise SchemaError(
                f"{kind.__name__} holds itself, and a column has an end.",
                hint="Use bb.Json for what is nested without end.",
            )
        if getattr(kind, "__pydantic_root_model__", False):
            return _read(fields["root"], (*outer, kind))
        return _struct(fields, (*outer, kind))
    return None


def _struct(fields: Mapping[str, Any], outer: Outer, *, nullable: bool = True) -> dt.Struct:
    if not fields:
        raise SchemaError("a struct has at least one field.", hint="Use bb.Json for any record.")
    # Whether a field is required is checked by nobody; the type stays the same either way.
    kinds = {name: _read(kind, outer) for name, kind in fields.items()}
    return dt.Struct(kinds, nullable=nullable)


def _of_a_library(kind: Any, _: Outer) -> dt.DataType | None:
    """Read types of NumPy, pandas, polars and Arrow, which Ibis knows."""
    owner = kind if inspect.isclass(kind) else type(kind)
    library = owner.__module__.split(".")[0]
    if library not in _LIBRARIES:
        return None
    try:
        if library == "polars":
            return _of_polars(kind)
        if library == "pyarrow":
            named = hasattr(kind, "nullable")  # a field, whose metadata may tell more
            return canonical(of_arrow_field(kind) if named else of_arrow(kind))
        if library == "numpy" and inspect.isclass(kind):
            import numpy as np

            kind = np.dtype(kind)
        return canonical(dt.dtype(kind))
    except Exception as error:  # what Ibis raises is its own business
        raise SchemaError(
            "this is no type that a column can have.",
            value=kind,
            hint="Use bb.Vector(n) for arrays.",
        ) from error


def _of_polars(kind: Any) -> dt.DataType:
    import polars as pl
    from ibis.formats.polars import PolarsType

    if isinstance(kind, pl.Array):  # whose length Ibis forgets
        return dt.Array(_of_polars(kind.inner), length=kind.size)
    if isinstance(kind, pl.List):
        return dt.Array(_of_polars(kind.inner))
    if isinstance(kind, pl.Struct):
        return dt.Struct({field.name: _of_polars(field.dtype) for field in kind.fields})
    if kind == pl.Categorical or kind == pl.Enum:  # noqa: PLR1714 - classes are equal, not hashed, so
        return dt.string
    return PolarsType.to_ibis(kind)


def _derived(kind: Any, _: Outer) -> dt.DataType | None:
    """Read subclasses of Python's types (`class Name(str)`, `pathlib.Path`)."""
    if not inspect.isclass(kind):
        return None
    found = (known for known in kind.__mro__[1:] if known in _PYTHON)
    return next((_PYTHON[known]() for known in found), None)


def _of_pydantic(kind: Any, _: Outer) -> dt.DataType | None:
    """Read pydantic's own types (`HttpUrl`, `SecretStr`) as what they are in JSON."""
    if not hasattr(kind, "__get_pydantic_core_schema__"):
        return None
    import pydantic

    try:
        shown = pydantic.TypeAdapter(kind).json_schema().get("type")
    except pydantic.PydanticUserError:
        return None
    names = {"string": dt.String, "integer": dt.Int64, "number": dt.Float64, "boolean": dt.Boolean}
    return names[shown]() if shown in names else Json()


_READERS = (_named, _renamed, _generic, _of_a_library, _class, _derived, _of_pydantic)


def fields_of(kind: Any) -> dict[str, Any] | None:
    """Return the annotated fields of a pydantic model, dataclass or TypedDict, else None."""
    cls: Any = kind if inspect.isclass(kind) else type(kind)
    if hasattr(cls, "model_fields"):
        return {name: _with_metadata(field) for name, field in cls.model_fields.items()}
    if dataclasses.is_dataclass(cls):
        hints = _hints(cls)
        return {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    return _hints(cls) if is_typed_dict(cls) else None


def values_of(record: Any) -> dict[str, Any] | None:
    """Return the values of the fields of an object of such a class, else None.

    What a pydantic model computes is no field; what it leaves out when it is written is one.
    """
    cls = type(record)
    if (ways := _values_of_model(typing.cast("Any", cls))) is not None:
        return ways(record)
    if dataclasses.is_dataclass(cls):
        return {field.name: getattr(record, field.name) for field in dataclasses.fields(cls)}
    return None


@functools.lru_cache(maxsize=512)
def _values_of_model(cls: Any) -> Callable[[Any], dict[str, Any]] | None:
    if not hasattr(cls, "model_fields"):
        return None
    if getattr(cls, "__pydantic_root_model__", False):
        return lambda record: values_of(record.root) or record.root
    names = list(cls.model_fields)
    written = getattr(cls, "__pydantic_decorators__", None)
    if written is not None and (written.field_serializers or written.model_serializers):
        return lambda record: record.model_dump(round_trip=True)
    return lambda record: {
        **{name: getattr(record, name) for name in names},
        **(record.model_extra or {}),
    }


def _with_metadata(field: Any) -> Any:
    """Put back together what pydantic takes apart: `Annotated[Any, bb.Image]`."""
    notes = [each for each in field.metadata if _is_dtype(each) or hasattr(each, "max_digits")]
    return typing.Annotated[field.annotation, *notes] if notes else field.annotation


def is_typed_dict(kind: Any) -> bool:
    """Whether a class is a TypedDict, of `typing` or of `typing_extensions`."""
    return inspect.isclass(kind) and issubclass(kind, dict) and hasattr(kind, "__optional_keys__")


def _hints(kind: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except NameError as error:
        raise SchemaError(
            f"an annotation of {kind.__name__} names what is not known: {error}.",
            hint="Import it in the module of the class, not within a function.",
        ) from error
