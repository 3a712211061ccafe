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

__all__ = ["dependents", "reads"]


def reads(engine: Engine, record: TableRecord, column: Column) -> set[str]:
    """Return the columns of its table that a computed column reads, virtual ones resolved."""
    value = engine.expression(str(column.expression), None)
    found: set[str] = set()
    for field in value.find(ops.Field):
        if not isinstance(field.rel, ManagedTable) or field.rel.table_id != record.id:
            continue
        known = record.column(field.name)
        if known is not None and known.kind == "virtual":
            found |= reads(engine, record, known)
        found.add(field.name)
    return found


def dependents(engine: Engine, record: TableRecord, changed: set[str]) -> list[Column]:
    """Return the computed columns downstream of changed columns."""
    affected = set(changed)
    found: list[Column] = []
    remaining = [column for column in record.columns if column.kind != "data"]
    while True:
        hit = [c for c in remaining if reads(engine, record, c) & affected]
        if not hit:
            return found
        found += hit
        affected |= {column.name for column in hit}
        remaining = [column for column in remaining if column not in hit]
