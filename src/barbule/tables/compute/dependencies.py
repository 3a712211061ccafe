"""Dependencies between the columns of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine

__all__ = ["columns_read", "computation_levels", "dependent_columns"]


def columns_read(engine: Engine, record: TableRecord, column: Column) -> set[str]:
    """Return the columns of its table that a computed column reads, virtual ones resolved."""
    names: set[str] = set()
    expressions = [str(column.expression)]
    while expressions:
        for name in engine.facts.columns_read(expressions.pop(), record.id) - names:
            names.add(name)
            source = record.column(name)
            if source is not None and source.kind == "virtual":
                expressions.append(str(source.expression))
    return names


def dependent_columns(engine: Engine, record: TableRecord, changed: set[str]) -> list[Column]:
    """Return the computed columns downstream of changed columns."""
    computed = [column for column in record.columns if column.kind != "data"]
    readers = _readers({column.name: columns_read(engine, record, column) for column in computed})
    position = {column.name: number for number, column in enumerate(computed)}
    downstream: dict[str, None] = {}
    level: Iterable[str] = changed
    while True:
        found = {reader for name in level for reader in readers.get(name, ())}
        level = sorted(found - downstream.keys(), key=position.__getitem__)
        if not level:
            return [computed[position[name]] for name in downstream]
        downstream |= dict.fromkeys(level)


def computation_levels(
    engine: Engine, record: TableRecord, columns: list[Column]
) -> list[list[Column]]:
    """Group columns so that each reads none but those of groups before its own."""
    names = {column.name for column in columns}
    waiting = {
        column.name: (columns_read(engine, record, column) & names) - {column.name}
        for column in columns
    }
    readers = _readers(waiting)
    position = {column.name: number for number, column in enumerate(columns)}
    levels = []
    level = [name for name, read in waiting.items() if not read]
    while level:
        levels.append([columns[position[name]] for name in level])
        found = []
        for name in level:
            for reader in readers.get(name, ()):
                waiting[reader].discard(name)
                if not waiting[reader]:
                    found.append(reader)
        level = sorted(found, key=position.__getitem__)
    return levels


def _readers(reads: Mapping[str, AbstractSet[str]]) -> dict[str, list[str]]:
    """Return by column those that read it."""
    readers: dict[str, list[str]] = {}
    for reader, names in reads.items():
        for name in names:
            readers.setdefault(name, []).append(reader)
    return readers
