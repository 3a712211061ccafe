"""The declaration of a data type: one entry says how its values are stored, converted and shown.

Owns the look-up. Facts about nested types, such as that they hold media, follow from those of their
parts.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

import ibis.expr.datatypes as dt

from barbule.types.declarations.entries import DECLARATIONS
from barbule.types.declarations.nested import NESTED, leaves
from barbule.types.declarations.type_declaration import TypeDeclaration

__all__ = [
    "TypeDeclaration",
    "by_class",
    "by_pair",
    "declaration",
    "holds",
    "holds_json",
    "holds_media",
    "is_vector",
]

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
_BY_CLASS: dict[type[dt.DataType], TypeDeclaration] = {entry.dtype: entry for entry in DECLARATIONS}


def declaration(kind: dt.DataType) -> TypeDeclaration:
    """Return the declaration of a type.

    Examples
    --------
    >>> declaration(dt.int8).display, declaration(dt.string).display
    ('number', 'text')
    """
    cls = type(kind)
    declared = _BY_CLASS.get(cls)
    if declared is None:  # of a class without an entry: that of the class it extends
        declared = next(_BY_CLASS[base] for base in cls.__mro__ if base in _BY_CLASS)
        _BY_CLASS[cls] = declared
    return declared


def by_class(table: Mapping[type[dt.DataType], T], kind: dt.DataType) -> T | None:
    """Return the entry for a type in a table by class, or that of the class it extends.

    Examples
    --------
    >>> by_class({dt.Integer: "whole", dt.Numeric: "any"}, dt.int8), by_class({}, dt.int8)
    ('whole', None)
    """
    return next((table[cls] for cls in type(kind).__mro__ if cls in table), None)


def by_pair(
    table: Mapping[type[dt.DataType], Mapping[type[dt.DataType], T]],
    first: dt.DataType,
    second: dt.DataType,
) -> T | None:
    """Return the entry for two types in a table by the class of the one, then of the other."""
    row = by_class(table, first)
    return None if row is None else by_class(row, second)


def holds(
    kind: dt.DataType,
    *classes: type[dt.DataType],
    into: tuple[type[dt.DataType], ...] = NESTED,
) -> bool:
    """Whether values of a type are of one of several, or have such parts.

    Parameters
    ----------
    into
        The nested types whose parts are meant.

    Examples
    --------
    >>> holds(dt.Array(dt.float16), dt.Float16)
    True
    """
    return any(isinstance(leaf, classes) for leaf in leaves(kind, into=into))


@functools.lru_cache(maxsize=1024)
def holds_media(kind: dt.DataType) -> bool:
    """Whether values of a type are media, or lists or records that hold media."""
    return any(declaration(leaf).is_media for leaf in leaves(kind, into=(dt.Array, dt.Struct)))


@functools.lru_cache(maxsize=1024)
def holds_json(kind: dt.DataType) -> bool:
    """Whether values of a type are Json, or hold Json."""
    return any(declaration(leaf).json == "json" for leaf in leaves(kind))


def is_vector(kind: dt.DataType) -> bool:
    """Whether values are compared as vectors: lists of one length of fractions."""
    floats = isinstance(kind, dt.Array) and isinstance(kind.value_type, dt.Float32 | dt.Float64)
    return floats and kind.length is not None
