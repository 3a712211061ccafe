"""Rows as Python objects: mappings and objects with fields.

Owns what counts as a record, and how its fields are read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from barbule.errors import DataError, with_article
from barbule.types import values_of
from barbule.types.inference.frame_schemas import series_hint

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
    return not isinstance(value, type) and _field_reader(type(value)) is not None


def as_mappings(records: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
    """Return records as mappings of column names to values.

    Raises
    ------
    DataError
        If a value is not a record; the error names its row.

    Examples
    --------
    >>> import collections
    >>> as_mappings([collections.namedtuple("Film", "name")("Up")])
    [{'name': 'Up'}]
    """
    types = set(map(type, records))
    if types <= {dict}:
        return records
    readers = {record_type: _field_reader(record_type) for record_type in types}
    mappings = []
    for row, record in enumerate(records):
        reader = readers[type(record)]
        if reader is None or isinstance(record, type):
            raise DataError(
                "a row must be a mapping of column names to values, not "
                f"{with_article(type(record).__name__)}.",
                row=row,
                value=record,
                hint=series_hint(record) or 'For example {"name": "Up"}.',
            )
        mappings.append(reader(record))
    return mappings


def _field_reader(record_type: type) -> Callable[[Any], Mapping[str, Any]] | None:
    """Return the function that reads the fields of records of a type; None for others."""
    if issubclass(record_type, Mapping):
        return lambda record: record
    if hasattr(record_type, "model_dump") or dataclasses.is_dataclass(record_type):
        return lambda record: values_of(record) or {}
    if issubclass(record_type, tuple) and hasattr(record_type, "_fields"):
        return lambda record: record._asdict()
    if hasattr(record_type, "__attrs_attrs__"):
        return _attribute_reader([field.name for field in record_type.__attrs_attrs__])
    if record_type.__module__ in {"numpy", "numpy.rec"} and record_type.__name__ in {
        "void",
        "record",
    }:
        return lambda record: dict(zip(record.dtype.names or (), record.tolist(), strict=True))
    if record_type.__module__ == "sqlite3" and record_type.__name__ == "Row":
        return dict
    return None


def _attribute_reader(names: list[str]) -> Callable[[Any], Mapping[str, Any]]:
    return lambda record: {name: getattr(record, name) for name in names}
