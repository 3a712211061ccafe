"""The fields of pydantic models, dataclasses and TypedDicts.

Returns the annotated fields of a class, and the values of an object's fields.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from pydantic.fields import FieldInfo

__all__ = ["fields_of", "is_ibis_type", "is_typed_dict", "values_of"]


def fields_of(kind: object) -> dict[str, Any] | None:
    """Return the annotated fields of a pydantic model, dataclass or TypedDict, else None."""
    cls: Any = kind if inspect.isclass(kind) else type(kind)
    if hasattr(cls, "model_fields"):
        return {name: _with_type_notes(field) for name, field in cls.model_fields.items()}
    if dataclasses.is_dataclass(cls):
        hints = _type_hints(cls)
        return {field.name: hints[field.name] for field in dataclasses.fields(cls)}
    return _type_hints(cls) if is_typed_dict(cls) else None


def values_of(record: object) -> dict[str, Any] | None:
    """Return the values of the fields of an object of such a class, else None.

    Computed fields of a pydantic model are left out; fields that are excluded from its dump are
    included.
    """
    cls: Any = type(record)
    if (read_values := _values_of_model(cls)) is not None:
        return read_values(record)
    if dataclasses.is_dataclass(cls):
        return {field.name: getattr(record, field.name) for field in dataclasses.fields(cls)}
    return None


@functools.lru_cache(maxsize=512)
def _values_of_model(cls: Hashable) -> Callable[[Any], dict[str, Any]] | None:
    if not hasattr(cls, "model_fields"):
        return None
    if getattr(cls, "__pydantic_root_model__", False):
        return lambda record: values_of(record.root) or record.root
    names = list(cls.model_fields)
    decorators = getattr(cls, "__pydantic_decorators__", None)
    if decorators is not None and (decorators.field_serializers or decorators.model_serializers):
        return lambda record: record.model_dump(round_trip=True)
    return lambda record: {
        **{name: getattr(record, name) for name in names},
        **(record.model_extra or {}),
    }


def _with_type_notes(field: FieldInfo) -> object:
    """Return the annotation of a pydantic field with its notes: `Annotated[Any, bb.Image]`."""
    notes = [note for note in field.metadata if is_ibis_type(note) or hasattr(note, "max_digits")]
    return typing.Annotated[field.annotation, *notes] if notes else field.annotation


def is_typed_dict(kind: object) -> bool:
    """Whether a class is a TypedDict, of `typing` or of `typing_extensions`."""
    return inspect.isclass(kind) and issubclass(kind, dict) and hasattr(kind, "__optional_keys__")


def _type_hints(kind: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except NameError as error:
        raise SchemaError(
            f"an annotation of {kind.__name__} cannot be resolved: {error}.",
            hint="Import it in the module of the class, not inside a function.",
        ) from error


def is_ibis_type(kind: object) -> bool:
    """Whether an object is a data type of Ibis, an instance or a class."""
    return isinstance(kind, dt.DataType) or (
        inspect.isclass(kind) and issubclass(kind, dt.DataType)
    )
