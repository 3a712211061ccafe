"""Inlining: values over columns become values over the relation below.

Owns how a value is rewritten, and how much of it is repeated: each column that a value reads is
written out where it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.planner.lowering.json_lists import unwrap_json
from barbule.planner.lowering.time_zones import in_local_time
from barbule.types import storage, storage_schema

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Columns", "DeepValueError", "Inliner"]

# The walk is recursive.
_MAX_LEVELS = 60


class DeepValueError(Exception):
    """Ends inlining where a value is nested too deeply for it."""


class Columns:
    """Columns of a relation in the making, as values over what is selected from.

    Parameters
    ----------
    make
        Makes a column of a name for which no value is given.

    Attributes
    ----------
    sizes
        The nodes of the values that are given, written out.
    """

    def __init__(self, make: Callable[[str], ops.Value] | None = None) -> None:
        self._make = make
        self._values: dict[str, ops.Value] = {}
        self.sizes: dict[str, int] = {}

    def __getitem__(self, name: str) -> ops.Value:
        if name not in self._values and self._make is not None:
            self._values[name] = self._make(name)
        return self._values[name]

    def add(self, name: str, value: ops.Value, size: int) -> None:
        """Give a column a value of a size."""
        self._values[name] = value
        self.sizes[name] = size


class Inliner:
    """Rewrites values: fields become columns over the base, our types those of storage.

    What reads parts of timestamps goes by the clock of their zone.

    Attributes
    ----------
    size
        The nodes of the last value, written out.
    most_repeated
        The most nodes that writing out one value repeats.
    """

    def __init__(self, columns: Columns, base: ops.Relation, zone: str) -> None:
        self._columns = columns
        self._base = base
        self._zone = zone
        self._level = 0
        self._repeated = 0
        self.size = 0
        self.most_repeated = 0

    def __call__(self, value: ops.Value) -> Any:
        """Rewrite a value."""
        self.size = self._repeated = 0
        rewritten = self._rewritten(value)
        if not isinstance(value, ops.Field):
            self.most_repeated = max(self.most_repeated, self._repeated)
        return rewritten

    def _rewritten(self, argument: Any) -> Any:
        """Rewrite a value, or what an operation holds besides values."""
        if isinstance(argument, ops.Field):
            size = self._columns.sizes.get(argument.name, 1)
            self.size += size
            self._repeated += size - 1
            return self._columns[argument.name]
        if isinstance(argument, ops.Value):
            return self._rebuilt(argument)
        if isinstance(argument, tuple):
            return tuple(map(self._rewritten, argument))
        if isinstance(argument, dt.DataType):
            return storage(argument)
        if isinstance(argument, sch.Schema):
            return storage_schema(argument)
        if isinstance(argument, ops.Relation):  # CountStar and the like hold it
            return self._base
        if isinstance(argument, Mapping):
            return {name: self._rewritten(member) for name, member in argument.items()}
        return argument

    def _rebuilt(self, value: ops.Value) -> ops.Value:
        self.size += 1
        self._level += 1
        if self._level > _MAX_LEVELS:
            raise DeepValueError
        arguments = [self._rewritten(argument) for argument in value.args]
        self._level -= 1
        if any(new is not old for new, old in zip(arguments, value.args, strict=True)):
            value = value.__recreate__(dict(zip(value.argnames, arguments, strict=True)))
        return unwrap_json(in_local_time(value, self._zone))
