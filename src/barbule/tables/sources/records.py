"""Rows as Python objects: mappings and objects with fields.

Owns what counts as a record, and how its fields are read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from barbule.errors import DataError
from barbule.types import values_of
from barbule.types.frame_schemas import series_hint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["as_mappings", "is_record"]


def is_record(value: object) -> bool:
    """Whether a value is one row rather than several.

    Examples
    --------
    >>> is_record({"name": "Up"}), is_record([{"name": "Up"}])
    (True, False)
    """
    return not isinstance(value, type) and _fields_of(type(value)) is not None


def as_mappings(records: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
    """Return records as mappings of column names to values.

    Raises
    ------
    DataError
        When something is no record; the error names its row.

    Examples
    --------
    >>> import collections
    >>> as_mappings([collections.namedtuple("Film", "name")("Up")])
    [{'name': 'Up'}]
    """
    types = set(map(type, records))
    if types <= {dict}:
        return records
    ways = {kind: _fields_of(kind) for kind in types}
    made = []
    for row, record in enumerate(records):
        way = ways[type(record)]
        if way is None or isinstance(record, type):
            raise DataError(
                f"a row is a mapping of column names to values, not a {type(record).__name__}.",
                row=row,
                value=record,
                hint=series_hint(record) or 'For example {"name": "Up"}.',
            )
        made.append(way(record))
    return made


def _fields_of(kind: type) -> Callable[[Any], Mapping[str, Any]] | None:
    """Return what reads the fields of records of a type; None for what is no record."""
    if issubclass(kind, Mapping):
        return lambda record: record
    if hasattr(kind, "model_dump") or dataclasses.is_dataclass(kind):
        return lambda record: values_of(record) or {}
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return lambda record: record._asdict()
    if hasattr(kind, "__attrs_attrs__"):
        return _reads([field.name for field in kind.__attrs_attrs__])
    if kind.__module__ in {"numpy", "numpy.rec"} and kind.__name__ in {"void", "record"}:
        return lambda record: dict(zip(record.dtype.names or (), record.tolist(), strict=True))
    if kind.__module__ == "sqlite3" and kind.__name__ == "Row":
        return dict
    return None


def _reads(names: list[str]) -> Callable[[Any], Mapping[str, Any]]:
    return lambda record: {name: getattr(record, name) for name in names}
