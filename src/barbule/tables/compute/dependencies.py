"""Which columns of a table are computed from which others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.nodes import (
    ManagedTable,
)

if TYPE_CHECKING:
    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine

__all__ = ["columns_read", "dependent_columns"]


def columns_read(engine: Engine, record: TableRecord, column: Column) -> set[str]:
    """Return the columns of its table that a computed column reads, virtual ones resolved."""
    value = engine.expression(str(column.expression), None)
    names: set[str] = set()
    for field in value.find(ops.Field):
        if not isinstance(field.rel, ManagedTable) or field.rel.table_id != record.id:
            continue
        source = record.column(field.name)
        if source is not None and source.kind == "virtual":
            names |= columns_read(engine, record, source)
        names.add(field.name)
    return names


def dependent_columns(engine: Engine, record: TableRecord, changed: set[str]) -> list[Column]:
    """Return the computed columns downstream of changed columns."""
    affected = set(changed)
    downstream: list[Column] = []
    remaining = [column for column in record.columns if column.kind != "data"]
    while True:
        next_level = [
            column for column in remaining if columns_read(engine, record, column) & affected
        ]
        if not next_level:
            return downstream
        downstream += next_level
        affected |= {column.name for column in next_level}
        remaining = [column for column in remaining if column not in next_level]
