"""Types with parts: arrays, structs and maps, taken apart and put together.

Owns the walks through nested types and nested cells. What a walk does with a type that has no parts
is the caller's, and mostly a fact that the type's declaration holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import ibis.expr.datatypes as dt

__all__ = ["NESTED", "CellForm", "Convert", "leaves", "optional", "parts", "rebuild"]

Convert: TypeAlias = Callable[[Any], Any]

NESTED = (dt.Array, dt.Struct, dt.Map)


def parts(kind: dt.DataType, *, keys: bool = True) -> dict[str, dt.DataType]:
    """Return the types of the parts of a type: fields by name, items and values as "".

    Parameters
    ----------
    keys
        Whether the keys of a map, as "key", are parts.

    Examples
    --------
    >>> [str(part) for part in parts(dt.Map(dt.date, dt.json)).values()], parts(dt.string)
    (['date', 'json'], {})
    """
    if isinstance(kind, dt.Struct):
        return dict(kind.fields)
    if isinstance(kind, dt.Map):
        return {"key": kind.key_type, "": kind.value_type} if keys else {"": kind.value_type}
    return {"": kind.value_type} if isinstance(kind, dt.Array) else {}


def leaves(
    kind: dt.DataType, *, into: tuple[type[dt.DataType], ...] = NESTED, keys: bool = True
) -> Iterator[dt.DataType]:
    """Yield the innermost types of a type; itself if it has no parts.

    Parameters
    ----------
    into
        The nested types that are taken apart; others are yielded as they are.
    keys
        Whether the keys of maps are yielded.
    """
    if not isinstance(kind, into):
        yield kind
        return
    for part in parts(kind, keys=keys).values():
        yield from leaves(part, into=into, keys=keys)


def rebuild(
    kind: dt.DataType,
    change: Callable[[Any], dt.DataType],
    part: Callable[[dt.DataType], dt.DataType] = lambda part: part,
) -> dt.DataType:
    """Change a type from the inside out.

    Parameters
    ----------
    change
        Called for each type, after its parts are changed.
    part
        Called for each changed field, item and value, but not for keys.
    """
    if isinstance(kind, dt.Struct):
        fields = {name: part(rebuild(field, change, part)) for name, field in kind.fields.items()}
        kind = kind if fields == dict(kind.fields) else kind.copy(fields=fields)
    elif isinstance(kind, dt.Map):
        key, value = rebuild(kind.key_type, change, part), rebuild(kind.value_type, change, part)
        kind = kind.copy(key_type=key, value_type=part(value))
    elif isinstance(kind, dt.Array):
        inner = part(rebuild(kind.value_type, change, part))
        kind = kind if inner == kind.value_type else kind.copy(value_type=inner)
    return change(kind)


def optional(convert: Convert | None, value: Any) -> Any:
    """Convert a value, unless it is missing or needs no conversion."""
    return value if value is None or convert is None else convert(value)


@dataclasses.dataclass(frozen=True)
class CellForm:
    """One form of cells, in which nested ones are converted part by part.

    Parameters
    ----------
    leaf
        Returns the conversion of a type without parts; None if it needs none.
    key
        Returns the conversion of the keys of a map; by default, that of their type.
    maps
        Makes a map of its converted entries; None if maps are dicts in both forms.
    complete
        Whether lists and structs are always made anew, structs with all of their fields.
    tolerant
        Whether a value that is no list or dict is left as it is, for a later error.
    """

    leaf: Callable[[Any], Convert | None]
    key: Callable[[Any], Convert | None] | None = None
    maps: Callable[[Iterable[tuple[Any, Any]]], Any] | None = dict
    complete: bool = False
    tolerant: bool = False

    def converter(self, kind: dt.DataType) -> Convert | None:
        """Return the conversion of cells of a type; None if they need none."""
        if isinstance(kind, dt.Array):
            return self._of_array(self.converter(kind.value_type))
        if isinstance(kind, dt.Struct):
            return self._of_struct(kind)
        return self._of_map(kind) if isinstance(kind, dt.Map) else self.leaf(kind)

    def _of_array(self, inner: Convert | None) -> Convert | None:
        if inner is None:
            return list if self.complete else None
        return self._guarded(
            list, lambda items: [None if item is None else inner(item) for item in items]
        )

    def _of_struct(self, kind: dt.Struct) -> Convert | None:
        fields = {name: self.converter(field) for name, field in kind.fields.items()}
        if self.complete:
            return lambda record: {
                name: optional(convert, record.get(name)) for name, convert in fields.items()
            }
        changed = {name: convert for name, convert in fields.items() if convert is not None}
        if not changed:
            return None
        return self._guarded(
            dict,
            lambda record: {
                name: changed[name](item) if name in changed and item is not None else item
                for name, item in record.items()
            },
        )

    def _of_map(self, kind: dt.Map) -> Convert | None:
        key, value = (self.key or self.converter)(kind.key_type), self.converter(kind.value_type)
        if self.maps is None and key is None and value is None:
            return None
        make = self.maps or dict
        return self._guarded(
            dict,
            lambda entries: make(
                (optional(key, name), optional(value, item))
                for name, item in _distinct(entries).items()
            ),
        )

    def _guarded(self, container: type, convert: Convert) -> Convert:
        if not self.tolerant:
            return convert
        return lambda value: convert(value) if isinstance(value, container) else value


def _distinct(entries: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Mapping[Any, Any]:
    """Return the entries of a map, which Arrow has as a list of pairs; the last of each key."""
    return entries if isinstance(entries, Mapping) else dict(entries)
