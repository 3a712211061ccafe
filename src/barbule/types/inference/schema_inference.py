"""Schemas inferred from data: records, data frames, Arrow tables, Ibis expressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.errors import SchemaError, with_article
from barbule.types.class_fields import fields_of
from barbule.types.inference.frame_schemas import FRAME_SCHEMAS, no_rows_error, series_hint
from barbule.types.inference.value_types import type_of_column
from barbule.types.schemas import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["holds_rows", "infer"]


def infer(source: object) -> sch.Schema:
    """Infer the schema of rows.

    Mixtures of integers and floats become Float, images Image, mappings Json. NumPy vectors of one
    length become `Vector(n)`, those of float64 `Array(Float, n)`. Objects of one class have the
    schema of the class.

    Parameters
    ----------
    source
        A mapping or a list of mappings, pydantic objects, dataclasses or named tuples; a pandas
        or polars data frame; an Arrow table, batch or reader; an Ibis table.

    Raises
    ------
    SchemaError
        If a column holds no value, or values of several types; the message names it.

    Examples
    --------
    >>> infer([{"name": "Up", "revenue": 735}, {"name": "Coco", "revenue": 0.5}])
    ibis.Schema {
      name     string
      revenue  float64
    }
    """
    if isinstance(source, ir.Table):
        return schema(source.schema())
    library = type(source).__module__.split(".")[0]
    if library in FRAME_SCHEMAS:  # before `.schema`, which a lazy frame would compute
        return FRAME_SCHEMAS[library](source)
    if _has_schema(source):
        return schema(source.schema)
    if (record := _as_mapping(source)) is not None:
        return _of_records([source], [record])
    if not isinstance(source, Sequence) or isinstance(source, str | bytes):
        raise no_rows_error(source)
    records = [_as_mapping(item) for item in source]
    for row, mapping in enumerate(records):
        if mapping is None:
            name = type(source[row]).__name__
            raise SchemaError(
                f"a row must be a mapping of column names to values, not {with_article(name)}.",
                row=row,
                value=source[row],
                hint=series_hint(source[row]) or 'For example {"name": "Up"}.',
            )
    return _of_records(source, [record for record in records if record is not None])


def holds_rows(source: object) -> bool:
    """Whether an object is data and not a schema: a list of mappings is, a mapping is not.

    Examples
    --------
    >>> holds_rows([{"name": "Up"}]), holds_rows({"name": str})
    (True, False)
    """
    if isinstance(source, ir.Table):
        return True
    if isinstance(source, type | sch.Schema | str | bytes):
        return False
    library = type(source).__module__.split(".")[0]
    if library in FRAME_SCHEMAS:
        return type(source).__name__ != "Schema"
    if _has_schema(source):
        return True
    return isinstance(source, Sequence) and bool(source) and _as_mapping(source[0]) is not None


class _TypedRows(Protocol):
    """An iterable of rows with a schema."""

    @property
    def schema(self) -> sch.Schema: ...

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...


def _has_schema(source: object) -> TypeGuard[_TypedRows]:
    """Whether an object is an iterable of rows that has a schema."""
    has_schema = isinstance(getattr(source, "schema", None), sch.Schema)
    return has_schema and isinstance(source, Iterable) and not isinstance(source, type)


def _as_mapping(value: object) -> Mapping[str, Any] | None:
    if isinstance(value, type):
        return None
    if isinstance(value, Mapping):
        return value
    if hasattr(value, "_asdict"):
        return dict(value._asdict())
    fields = fields_of(value)
    return None if fields is None else {name: getattr(value, name) for name in fields}


def _of_records(rows: Sequence[Any], records: Sequence[Mapping[str, Any]]) -> sch.Schema:
    kinds = set(map(type, rows))
    if len(kinds) == 1 and fields_of(only := kinds.pop()) is not None:
        return schema(only)
    names = dict.fromkeys(name for record in records for name in record)
    if not names:
        raise SchemaError("no row has a column.", hint="Pass rows, or a schema: {name: type}.")
    return schema(
        {name: type_of_column(name, [record.get(name) for record in records]) for name in names}
    )
