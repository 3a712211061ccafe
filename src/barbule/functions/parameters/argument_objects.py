"""From cells to the objects of a function's annotations.

Owns how a record becomes a dataclass, a pydantic model or a named tuple, and a list a set or an
array; the executor opens media.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import pathlib
import types as pytypes
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ibis.expr.datatypes as dt

__all__ = ["converter", "is_array"]

Convert = Callable[[Any], object]


def converter(hint: Any) -> Convert | None:
    """Return the function that converts a cell, as Python, to an object of an annotation.

    Parameters
    ----------
    hint
        The annotation of a parameter, or of one item of a list.

    Returns
    -------
    callable or None
        None if no conversion is needed. Objects of the annotation are passed unchanged.

    Examples
    --------
    >>> import dataclasses
    >>> @dataclasses.dataclass
    ... class Point:
    ...     x: float
    >>> converter(list[Point])([{"x": 1.0}])
    [Point(x=1.0)]
    """
    if hint is None or isinstance(hint, dt.DataType | str):
        return None
    for attribute in ("__supertype__", "__value__", "__bound__"):
        base = getattr(hint, attribute, None)
        if base is not None and not inspect.isclass(hint):
            return converter(base)
    origin = typing.get_origin(hint)
    if origin is not None:
        return _of_generic(origin, typing.get_args(hint))
    return _of_class(hint) if inspect.isclass(hint) else None


def is_array(hint: object) -> bool:
    """Whether an annotation is an array of NumPy, of any type."""
    kind = typing.get_origin(hint) or hint
    return inspect.isclass(kind) and (kind.__module__, kind.__name__) == ("numpy", "ndarray")


def _of_generic(origin: object, arguments: tuple[Any, ...]) -> Convert | None:
    if origin in {typing.Union, pytypes.UnionType}:
        members = [argument for argument in arguments if argument is not type(None)]
        return converter(members[0]) if len(members) == 1 else None
    if origin is typing.Annotated:
        return converter(arguments[0])
    if not inspect.isclass(origin):
        return None
    if is_array(origin):
        return _of_class(origin)
    if issubclass(origin, Mapping) or not issubclass(origin, Iterable):
        return None
    return _of_items(origin, arguments)


def _of_items(origin: type, arguments: tuple[Any, ...]) -> Convert | None:
    item_hints = [argument for argument in arguments if argument is not Ellipsis]
    convert = converter(item_hints[0]) if len(set(map(repr, item_hints))) == 1 else None
    container = origin if origin in {set, frozenset, tuple} else None
    if convert is None:
        return container
    convert_item = _unless_none(convert)
    return lambda cell: (container or list)(map(convert_item, cell))


def _unless_none(convert: Convert) -> Convert:
    return lambda cell: None if cell is None else convert(cell)


def _of_class(kind: type) -> Convert | None:
    if issubclass(kind, dt.DataType):
        return None
    if is_array(kind):
        import numpy as np

        return np.asarray
    if kind in {set, frozenset, tuple, uuid.UUID} or issubclass(kind, enum.Enum):
        return lambda cell: cell if isinstance(cell, kind) else kind(cell)
    if issubclass(kind, pathlib.PurePath):
        return kind
    if hasattr(kind, "model_validate"):
        return _of_model(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = [field.name for field in dataclasses.fields(kind) if field.init]
        return _of_fields(kind, {name: hints[name] for name in fields})
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _of_fields(kind, typing.get_type_hints(kind, include_extras=True))
    if issubclass(kind, dict) and hasattr(kind, "__optional_keys__"):
        return _of_fields(dict, typing.get_type_hints(kind, include_extras=True))
    return None


def _of_model(kind: Any) -> Convert:
    """Create a pydantic model, whose fields are in cells by their names, not by their aliases."""
    if "by_name" not in inspect.signature(kind.model_validate).parameters:  # before pydantic 2.11
        return typing.cast("Convert", kind.model_validate)
    return functools.partial(kind.model_validate, by_alias=True, by_name=True)


def _of_fields(kind: type, hints: Mapping[str, Any]) -> Convert:
    converters = {name: convert for name, hint in hints.items() if (convert := converter(hint))}
    if kind is dict and not converters:
        return lambda cell: cell

    def fill(cell: object) -> object:
        if not isinstance(cell, Mapping):
            return cell
        values = {name: cell[name] for name in hints if name in cell}
        for name, convert in converters.items():
            if values.get(name) is not None:
                values[name] = convert(values[name])
        return kind(**values)

    return fill
