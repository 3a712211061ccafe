"""Schemas from user declarations: mappings of names to types, classes with fields."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types as pytypes
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.errors import SchemaError
from barbule.types.annotations import dtype
from barbule.types.class_fields import fields_of, is_typed_dict
from barbule.types.declarations import declaration
from barbule.types.declarations.nested import parts
from barbule.types.declarations.storage_forms import canonical

__all__ = ["choices_of", "defaults_of", "schema", "unsupported_reason"]


def schema(columns: object) -> sch.Schema:
    """Convert a user's schema declaration to an Ibis schema.

    Parameters
    ----------
    columns
        A mapping of column names to types (anything that `dtype` accepts), an `ibis.Schema`, a
        `pyarrow.Schema`, or a pydantic model, dataclass or TypedDict. A field of a class is a
        required column unless it allows None or has a default.

    Raises
    ------
    SchemaError
        If a name is empty or not a string, or a type is unknown; the message names the column.

    Examples
    --------
    >>> schema({"name": str, "revenue": "float64"}).names
    ('name', 'revenue')
    """
    if isinstance(columns, sch.Schema):
        return _checked(sch.Schema({name: canonical(kind) for name, kind in columns.items()}))
    if type(columns).__module__.startswith("pyarrow"):
        return _from_arrow(columns)
    is_class = not isinstance(columns, Mapping)
    fields = columns if isinstance(columns, Mapping) else fields_of(columns)
    if fields is None:
        raise SchemaError(
            "a schema must be a mapping of column names to types, a pydantic model or a dataclass.",
            value=columns,
            hint='For example {"name": bb.String, "revenue": bb.Float}. For a file, pass its '
            "rows, pandas.read_csv(path), or insert the file into a table that has a schema.",
        )
    required = _required_fields(columns, fields) if is_class else set()
    checked: dict[str, dt.DataType] = {}
    for name, kind in fields.items():
        if not isinstance(name, str) or not name:
            raise SchemaError(
                "a column name must be a non-empty string.", value=name, hint="Name the column."
            )
        try:
            data_type = dtype(kind)
        except SchemaError as error:
            if all(map(_is_values, fields.values())):
                raise _no_columns_of_values(name, kind) from None
            raise error.at(column=name) from error.__cause__
        checked[name] = data_type.copy(nullable=False) if name in required else data_type
    return _checked(sch.Schema(checked))


def _is_values(kind: object) -> bool:
    """Whether an object is a column of values and not a type."""
    if isinstance(kind, list | tuple | range):
        return not any(isinstance(item, type | dt.DataType) for item in kind)
    shaped = hasattr(kind, "shape") or hasattr(kind, "to_pylist")  # arrays and series
    return shaped and not isinstance(kind, type)


def _no_columns_of_values(name: str, values: object) -> SchemaError:
    return SchemaError(
        "a schema maps names to types, but this is a column of values.",
        column=name,
        value=values,
        hint='Pass rows, [{"n": 1}, {"n": 2}], or a data frame: pd.DataFrame({"n": [1, 2]}).',
    )


def _checked(columns: sch.Schema) -> sch.Schema:
    """Check that names differ by more than case, and that cells can have each type."""
    if (twins := _names_differing_in_case(columns.names)) is not None:
        raise SchemaError(
            f"its name differs from {twins[0]!r} only in case.",
            column=twins[1],
            hint="Databases treat the two as the same name; rename one of them.",
        )
    for name, kind in columns.items():
        if refused := unsupported_reason(kind):
            reason, hint = refused
            raise SchemaError(reason, column=name, hint=hint)
    return columns


def _names_differing_in_case(names: Iterable[str]) -> tuple[str, str] | None:
    """Find two names that differ only in case."""
    lowered: dict[str, str] = {}
    return next(
        ((other, n) for n in names if (other := lowered.setdefault(n.lower(), n)) != n), None
    )


def unsupported_reason(kind: dt.DataType) -> tuple[str, str] | None:
    """Return the reason why cells cannot have a type, and a hint; None if they can."""
    if (reason := declaration(kind).refusal(kind)) is not None:
        return reason
    inner = parts(kind)
    if (twins := _names_differing_in_case(inner)) is not None:
        return (
            f"its fields {twins[0]!r} and {twins[1]!r} differ only in case.",
            "Databases treat the two as the same name; rename one of them, or use bb.Json.",
        )
    return next(filter(None, map(unsupported_reason, inner.values())), None)


def _from_arrow(columns: object) -> sch.Schema:
    import pyarrow as pa

    if not isinstance(columns, pa.Schema):
        raise SchemaError(
            f"an Arrow {type(columns).__name__} is not a schema.",
            hint="Pass its .schema, a mapping of column names to types, or a class with fields.",
        )
    if len(set(columns.names)) < len(columns.names):
        raise SchemaError(
            "two columns have the same name.", value=columns.names, hint="Rename one of them."
        )
    checked = {}
    for field in columns:
        try:
            checked[field.name] = dtype(field).copy(nullable=field.nullable)
        except SchemaError as error:
            raise error.at(column=field.name) from error.__cause__
    return schema(checked)


def _required_fields(kind: object, fields: Mapping[str, Any]) -> set[str]:
    """Return the fields that have a value in every object of a class."""
    optional = set(_defaults(kind))
    if is_typed_dict(kind):
        keys: frozenset[str] = getattr(kind, "__optional_keys__", frozenset())
        optional = {name for name, hint in fields.items() if _is_optional_key(name, hint, keys)}
    return {
        name for name, hint in fields.items() if name not in optional and not _allows_none(hint)
    }


def _is_optional_key(name: str, hint: object, optional_keys: frozenset[str]) -> bool:
    """Whether a key of a TypedDict is optional, by its annotation if that is resolved."""
    by_qualifier: dict[Any, bool] = {typing.Required: False, typing.NotRequired: True}
    return by_qualifier.get(typing.get_origin(hint), name in optional_keys)


def _allows_none(hint: object) -> bool:
    """Whether an annotation allows None."""
    if hint is None or hint is type(None) or hint is Any or hint is object:
        return True
    if isinstance(hint, dt.DataType):
        return hint.nullable
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        ibis_types = [argument for argument in arguments[1:] if isinstance(argument, dt.DataType)]
        return ibis_types[0].nullable if ibis_types else _allows_none(arguments[0])
    if origin in {typing.Required, typing.NotRequired}:
        return _allows_none(arguments[0])
    if origin is typing.Literal:
        return None in arguments
    return origin in {typing.Union, pytypes.UnionType} and any(map(_allows_none, arguments))


def _defaults(kind: object) -> dict[str, Any]:
    """Return the optional fields of a class with a function that returns the default, if any."""
    cls = kind if inspect.isclass(kind) else type(kind)
    if hasattr(cls, "model_fields"):
        return {
            name: field.get_default if field.default_factory is None else None
            for name, field in cls.model_fields.items()
            if not field.is_required()
        }
    if not dataclasses.is_dataclass(cls):
        return {}
    factories: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            factories[field.name] = lambda field=field: field.default
        elif field.default_factory is not dataclasses.MISSING:
            factories[field.name] = None
    return factories


def choices_of(columns: object) -> dict[str, tuple[Any, ...]]:
    """Return the allowed values of columns whose type is a `Literal` or an `Enum`.

    Examples
    --------
    >>> choices_of({"size": typing.Literal["S", "M"] | None, "name": str})
    {'size': ('S', 'M')}
    """
    if isinstance(columns, sch.Schema) or type(columns).__module__.startswith("pyarrow"):
        return {}
    fields = columns if isinstance(columns, Mapping) else fields_of(columns)
    choices = {name: _choices(kind) for name, kind in (fields or {}).items()}
    return {name: values for name, values in choices.items() if values}


def _choices(kind: object) -> tuple[Any, ...]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _choices(arguments[0])
    if origin in {typing.Union, pytypes.UnionType}:
        parts = [_choices(argument) for argument in arguments if argument is not type(None)]
        return tuple(value for part in parts for value in part) if all(parts) else ()
    values: tuple[Any, ...] = arguments if origin is typing.Literal else ()
    if inspect.isclass(kind) and issubclass(kind, enum.Enum) and not issubclass(kind, enum.Flag):
        values = tuple(kind)
    plain = [member.value if isinstance(member, enum.Enum) else member for member in values]
    plain = [value for value in plain if value is not None]
    return tuple(plain) if all(isinstance(value, str | int | float) for value in plain) else ()


def defaults_of(columns: object) -> dict[str, Any]:
    """Return the default values of the fields of a class.

    Defaults from a factory, and None, are left out.

    Examples
    --------
    >>> @dataclasses.dataclass
    ... class Film:
    ...     name: str
    ...     seen: bool = False
    >>> defaults_of(Film)
    {'seen': False}
    """
    if isinstance(columns, Mapping) or fields_of(columns) is None:
        return {}
    defaults = {name: make() for name, make in _defaults(columns).items() if make is not None}
    return {name: value for name, value in defaults.items() if value is not None}
