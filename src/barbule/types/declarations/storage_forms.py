"""The forms of a type: that of columns, and that in which databases store values."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import ibis.expr.schema as sch

from barbule.types.declarations import declaration
from barbule.types.declarations.nested import rebuild

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

__all__ = ["canonical", "storage", "storage_schema"]


@functools.lru_cache(maxsize=1024)
def canonical(kind: dt.DataType) -> dt.DataType:
    """Return the type in which a column holds values of `kind`.

    Ibis' JSON, which has no paths, becomes `Json`; a float16, which databases lack, a float32; a
    decimal without precision gets the largest; an interval counts microseconds.

    Examples
    --------
    >>> import ibis.expr.datatypes as dt
    >>> type(canonical(dt.Array(dt.json)).value_type).__name__
    'Json'
    >>> str(canonical(dt.float16)), str(canonical(dt.Decimal()))
    ('float32', 'decimal(38, 9)')
    """
    return rebuild(kind, lambda part: declaration(part).canonical(part))


@functools.lru_cache(maxsize=1024)
def storage(kind: dt.DataType) -> dt.DataType:
    """Return the plain Ibis type in which a backend stores values of `kind`.

    Examples
    --------
    >>> from barbule.types import Image
    >>> str(storage(Image()))
    'string'
    """
    return rebuild(kind, _stored, _nullable)


def _stored(kind: dt.DataType) -> dt.DataType:
    stored = declaration(kind).storage
    return kind if stored is None else stored(nullable=kind.nullable)


def _nullable(part: dt.DataType) -> dt.DataType:
    """Return the type of a part in storage, where the parent may be missing."""
    return part if part.nullable else part.copy(nullable=True)


def storage_schema(columns: sch.Schema) -> sch.Schema:
    """Return `columns` with each type in its storage form."""
    return sch.Schema({name: storage(kind) for name, kind in columns.items()})
