"""From cells to the objects that a function's annotations promise it.

Owns what becomes of a record for a dataclass, a pydantic model or a named tuple, of a list for a
set, an array …; how media are opened is the executor's business.
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

__all__ = ["is_array", "maker"]

Make = Callable[[Any], Any]


def maker(hint: Any) -> Make | None:
    """Return what turns a cell, as Python, into an object of an annotation.

    Parameters
    ----------
    hint
        The annotation of a parameter, or of one item of a list.

    Returns
    -------
    callable or None
        None where the cell is what is wanted as it is. It leaves alone what is one already.

    Examples
    --------
    >>> import dataclasses
    >>> @dataclasses.dataclass
    ... class Point:
    ...     x: float
    >>> maker(list[Point])([{"x": 1.0}])
    [Point(x=1.0)]
    """
    if hint is None or isinstance(hint, dt.DataType | str):
        return None
    for inner in ("__supertype__", "__value__", "__bound__"):
        below = getattr(hint, inner, None)
        if below is not None and not inspect.isclass(hint):
            return maker(below)
    origin = typing.get_origin(hint)
    if origin is not None:
        return _of_generic(origin, typing.get_args(hint))
    return _of_class(hint) if inspect.isclass(hint) else None


def is_array(hint: Any) -> bool:
    """Whether an annotation is an array of NumPy, of any type."""
    kind = typing.get_origin(hint) or hint
    return inspect.isclass(kind) and (kind.__module__, kind.__name__) == ("numpy", "ndarray")


def _of_generic(origin: Any, arguments: tuple[Any, ...]) -> Make | None:
    if origin in {typing.Union, pytypes.UnionType}:
        there = [each for each in arguments if each is not type(None)]
        return maker(there[0]) if len(there) == 1 else None
    if origin is typing.Annotated:
        return maker(arguments[0])
    if is_array(origin):
        return _of_class(origin)
    if not inspect.isclass(origin) or issubclass(origin, Mapping):
        return None
    if not issubclass(origin, Iterable):
        return None
    return _of_items(origin, arguments)


def _of_items(origin: type, arguments: tuple[Any, ...]) -> Make | None:
    items = [each for each in arguments if each is not Ellipsis]
    make = maker(items[0]) if len(set(map(repr, items))) == 1 else None
    whole = origin if origin in {set, frozenset, tuple} else None
    if make is None:
        return whole
    each = _if_there(make)
    return lambda cell: (whole or list)(map(each, cell))


def _if_there(make: Make) -> Make:
    return lambda cell: None if cell is None else make(cell)


def _of_class(kind: Any) -> Make | None:
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
        return _of_fields(kind, {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.init})
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _of_fields(kind, typing.get_type_hints(kind, include_extras=True))
    if issubclass(kind, dict) and hasattr(kind, "__optional_keys__"):
        return _of_fields(dict, typing.get_type_hints(kind, include_extras=True))
    return None


def _of_model(kind: Any) -> Make:
    """Make a pydantic model, whose fields stand in cells by their names, not by their aliases."""
    if "by_name" not in inspect.signature(kind.model_validate).parameters:  # before pydantic 2.11
        return typing.cast("Make", kind.model_validate)
    return functools.partial(kind.model_validate, by_alias=True, by_name=True)


def _of_fields(kind: Any, hints: Mapping[str, Any]) -> Make:
    makers = {name: make for name, hint in hints.items() if (make := maker(hint))}
    if kind is dict and not makers:
        return lambda cell: cell

    def fill(cell: Any) -> Any:
        if not isinstance(cell, Mapping):
            return cell
        given = {name: cell[name] for name in hints if name in cell}
        for name, each in makers.items():
            if given.get(name) is not None:
                given[name] = each(given[name])
        return kind(**given)

    return fill
