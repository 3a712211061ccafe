"""Data types from what users write: classes, names and Python annotations.

Defines `dtype`, and the functions that read like types (`Array`, `Vector`, `Struct`).
"""

from __future__ import annotations

import enum
import inspect
import re
import types as pytypes
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ibis.expr.datatypes as dt

from barbule.errors import SchemaError
from barbule.types.class_fields import fields_of, is_ibis_type
from barbule.types.data_types import Image, Json
from barbule.types.declarations.entries import DECLARATIONS
from barbule.types.declarations.storage_forms import canonical
from barbule.types.library_types import of_library, of_pydantic

__all__ = ["Array", "ArrayType", "Struct", "Vector", "dtype"]


def Array(dtype: object, length: int | None = None, *, nullable: bool = True) -> dt.Array:  # noqa: N802 - written like a type
    """Return the type of a list of `dtype` values.

    Parameters
    ----------
    dtype
        The type of the values, as for `bb.create_table`.
    length
        The length of each list; None for any length.
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
    """Return the type of a vector of `length` 32-bit floats.

    Parameters
    ----------
    length
        The length of each vector; 1 or more.
    nullable
        Whether a cell may be empty.

    Raises
    ------
    SchemaError
        If `length` is not a positive integer.

    Examples
    --------
    >>> Vector(3).length
    3
    """
    _check_length(length, "a vector", "Vector(384)")
    return dt.Array(dt.float32, length=length, nullable=nullable)


def _check_length(length: object, subject: str, example: str) -> None:
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise SchemaError(
            f"the length of {subject} must be an integer of 1 or more.",
            value=length,
            hint=f"{example}.",
        )


def Struct(fields: Mapping[str, Any], *, nullable: bool = True) -> dt.Struct:  # noqa: N802 - written like a type
    """Return the type of a struct with named fields.

    Examples
    --------
    >>> from barbule.types import Float, String
    >>> str(Struct({"label": String, "score": Float}))
    'struct<label: string, score: float64>'
    """
    if not isinstance(fields, Mapping):
        raise SchemaError(
            "the fields of a struct must have names.",
            value=fields,
            hint='Struct({"label": String}).',
        )
    return _struct_type(fields, (), nullable=nullable)


_TYPE_NAMES: dict[str, Callable[[], dt.DataType]] = {
    name: entry.make for entry in DECLARATIONS for name in entry.names
}
_PYTHON_TYPES: dict[Any, Callable[[], dt.DataType]] = {
    cls: entry.make for entry in DECLARATIONS for cls in entry.annotations
}

# The classes around an annotation: it must not refer to one of them.
EnclosingClasses = tuple[Any, ...]


def dtype(kind: object) -> dt.DataType:
    """Convert a user's type declaration to an Ibis data type.

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
        If `kind` names no type.

    Examples
    --------
    >>> str(dtype("vector(3)")), str(dtype(list[int]))
    ('array<float32, 3>', 'array<int64>')
    """
    return canonical(_type_of(kind, ()))


_dtype = dtype  # `dtype` is a parameter name of `Array`, as its users write it


def _type_of(kind: object, enclosing: EnclosingClasses) -> dt.DataType:
    if isinstance(kind, dt.DataType):
        return canonical(kind)
    if inspect.isclass(kind) and is_ibis_type(kind):
        return _instance_of(kind)
    if isinstance(kind, str):
        return _from_name(kind)
    return _type_of_annotation(kind, enclosing)


def _instance_of(kind: type[dt.DataType]) -> dt.DataType:
    try:
        return canonical(kind())
    except Exception as error:  # Ibis raises various errors
        raise SchemaError(
            f"{kind.__name__} needs a type parameter.",
            hint="Write Array(String), Struct({...}), or an instance of it.",
        ) from error


def _from_name(name: str) -> dt.DataType:
    text = name.strip()
    if text.startswith("!"):
        return _from_name(text[1:]).copy(nullable=False)
    plain = text.lower()
    if plain in _TYPE_NAMES:
        return _TYPE_NAMES[plain]()
    if match := re.fullmatch(r"vector\(\s*(\d+)\s*\)", plain):
        return Vector(int(match[1]))
    match = re.fullmatch(r"array<(.+?)(?:,\s*(\d+))?>", text, re.IGNORECASE)
    if match and match[1].strip().lower() in _TYPE_NAMES:  # names that Ibis lacks
        return Array(match[1], int(match[2]) if match[2] else None)
    try:
        return canonical(dt.dtype(text))
    except Exception as error:
        raise SchemaError(
            f"there is no type {name!r}.",
            hint=f"Use an Ibis type such as 'int64', or one of {', '.join(sorted(_TYPE_NAMES))}.",
        ) from error


def _type_of_annotation(kind: object, enclosing: EnclosingClasses) -> dt.DataType:
    for read in _READERS:
        data_type = read(kind, enclosing)
        if data_type is not None:
            return data_type
    raise SchemaError(
        "this is not a supported column type.",
        value=kind,
        hint="Use a type such as bb.String, bb.Image or bb.Vector(384), or a Python type.",
    )


def _python_type(kind: object, _: EnclosingClasses) -> dt.DataType | None:
    """Return the type of a class in `_PYTHON_TYPES`."""
    try:
        return _PYTHON_TYPES[kind]() if kind in _PYTHON_TYPES else None
    except TypeError:  # it is not hashable, so no type
        return None


def _alias_target(kind: object, enclosing: EnclosingClasses) -> dt.DataType | None:
    """Resolve `NewType`, `type X = ...` and type variables with a bound."""
    for name in ("__supertype__", "__value__", "__bound__"):
        inner = getattr(kind, name, None)
        if inner is not None and not inspect.isclass(kind):
            return _type_of(inner, enclosing)
    return None


def _generic_type(kind: object, enclosing: EnclosingClasses) -> dt.DataType | None:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, pytypes.UnionType}:
        return _common_type(
            [_type_of(argument, enclosing) for argument in arguments if argument is not _NONE], kind
        )
    if origin is typing.Annotated:
        return _annotated_type(arguments[0], arguments[1:], enclosing)
    if origin is typing.Literal:
        return _common_type(_types_of_values(arguments), kind)
    if origin in {typing.Required, typing.NotRequired, typing.Final}:
        return _type_of(arguments[0], enclosing)
    if not inspect.isclass(origin):
        return None
    if issubclass(origin, Mapping):
        return Json()
    if issubclass(origin, Iterable):
        return _array_type(origin, arguments, enclosing)
    return None


_NONE = type(None)


def _array_type(
    origin: type, arguments: tuple[Any, ...], enclosing: EnclosingClasses
) -> dt.DataType | None:
    if not arguments:
        return Json()
    items = [argument for argument in arguments if argument is not Ellipsis]
    if not issubclass(origin, tuple):
        return dt.Array(_type_of(items[0], enclosing)) if len(items) == 1 else None
    try:
        return dt.Array(_common_type([_type_of(item, enclosing) for item in items], origin))
    except SchemaError:
        return Json()  # a tuple of different types


def _annotated_type(
    kind: object, metadata: Iterable[object], enclosing: EnclosingClasses
) -> dt.DataType:
    """Read `Annotated`: the data type in `Annotated[Any, bb.Image]`, or a decimal's limits."""
    metadata = [note for group in metadata for note in getattr(group, "metadata", None) or [group]]
    if ibis_types := [note for note in metadata if is_ibis_type(note)]:
        return _type_of(ibis_types[0], enclosing)
    data_type = _type_of(kind, enclosing)
    if type(data_type) is dt.Decimal:
        limits = {
            name: getattr(note, name)
            for note in metadata
            for name in ("max_digits", "decimal_places")
            if getattr(note, name, None) is not None
        }
        if "max_digits" in limits:
            scale = limits.get("decimal_places", 0)
            return dt.Decimal(limits["max_digits"], scale, nullable=data_type.nullable)
    return data_type


def _types_of_values(values: Iterable[Any]) -> list[dt.DataType]:
    kinds = dict.fromkeys(type(value) for value in values if value is not None)
    return [_type_of(value_type, ()) for value_type in kinds]


def _common_type(kinds: list[dt.DataType], annotation: object) -> dt.DataType:
    """Return the common type of several that are equal, or all numbers."""
    nullable_kinds = list(dict.fromkeys(kind.copy(nullable=True) for kind in kinds))
    if len(nullable_kinds) == 1:
        return nullable_kinds[0]
    if nullable_kinds and all(
        isinstance(kind, dt.Integer | dt.Floating) for kind in nullable_kinds
    ):
        return dt.float64 if any(map(_is_float, nullable_kinds)) else dt.int64
    raise SchemaError(
        "a column has a single type, but this annotation allows "
        + ("several." if nullable_kinds else "no value at all."),
        value=annotation,
        hint="Choose one; bb.Json stores values of any type.",
    )


def _is_float(kind: dt.DataType) -> bool:
    return isinstance(kind, dt.Floating)


def _type_of_class(kind: object, enclosing: EnclosingClasses) -> dt.DataType | None:
    if not inspect.isclass(kind):
        return None
    if issubclass(kind, enum.Enum):
        return _common_type(_types_of_values(member.value for member in kind), kind)
    if kind.__module__.split(".")[0] == "PIL":
        return Image()
    if (fields := fields_of(kind)) is not None:
        if kind in enclosing:
            raise SchemaError(
                f"{kind.__name__} is recursive, and column types cannot be recursive.",
                hint="Use bb.Json for recursive data.",
            )
        if getattr(kind, "__pydantic_root_model__", False):
            return _type_of(fields["root"], (*enclosing, kind))
        return _struct_type(fields, (*enclosing, kind))
    return None


def _struct_type(
    fields: Mapping[str, Any], enclosing: EnclosingClasses, *, nullable: bool = True
) -> dt.Struct:
    if not fields:
        raise SchemaError(
            "a struct must have at least one field.",
            hint="Use bb.Json for records with any fields.",
        )
    # Required fields are not checked, so all fields are nullable.
    kinds = {name: _type_of(kind, enclosing) for name, kind in fields.items()}
    return dt.Struct(kinds, nullable=nullable)


def _base_type(kind: object, _: EnclosingClasses) -> dt.DataType | None:
    """Read subclasses of Python's types (`class Name(str)`, `pathlib.Path`)."""
    if not inspect.isclass(kind):
        return None
    bases = (base for base in kind.__mro__[1:] if base in _PYTHON_TYPES)
    return next((_PYTHON_TYPES[base]() for base in bases), None)


_READERS: tuple[Callable[[object, EnclosingClasses], dt.DataType | None], ...] = (
    _python_type,
    _alias_target,
    _generic_type,
    lambda kind, _: of_library(kind),
    _type_of_class,
    _base_type,
    lambda kind, _: of_pydantic(kind),
)
