"""Columns of vectors: arrays of a fixed length, which Ibis also assigns to slices and sums.

Owns which results have a fixed length.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.relations.columns.managed_column import ManagedColumn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VectorColumn"]

T = TypeVar("T")


class VectorColumn(ManagedColumn):
    """Columns of arrays of a fixed length, whose slices and sums have another length."""

    __slots__ = ()

    def __getitem__(self, index: int | slice | ir.IntegerValue) -> ir.Value:
        """Return an item, or a slice; a slice between constant bounds has a fixed length."""
        array = _of_any_length(self)
        if not isinstance(index, slice):
            return array[index]
        bounds = (index.start, index.stop, index.step)
        part = array[index]
        if not all(bound is None or isinstance(bound, int) for bound in bounds):
            return part
        length = len(range(self.type().length)[index])
        return part.cast(part.type().copy(length=length)) if length else part


def _of_any_length(value: T) -> T:
    """Return arrays without the fixed length of all of them; others unchanged."""
    if not isinstance(value, ir.ArrayValue):
        return value
    kind = value.type()
    inner = kind.value_type
    if isinstance(inner, dt.Array):
        inner = inner.copy(length=None)
    return value.cast(kind.copy(value_type=inner, length=None))


def _array_method(name: str) -> Callable[..., ir.Value]:
    base = getattr(ir.ArrayColumn, name)

    @functools.wraps(base)
    def method(self: VectorColumn, *args: object) -> ir.Value:
        return getattr(_of_any_length(self), name)(*map(_of_any_length, args))

    return method


for _name in (
    "filter", "flatten", "intersect", "remove", "repeat", "union", "unique", "__mul__", "__rmul__"
):  # fmt: skip
    setattr(VectorColumn, _name, _array_method(_name))
