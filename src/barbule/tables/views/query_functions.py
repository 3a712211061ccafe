"""The columns that read a table through a `@bb.query` function.

Such columns have no lineage in their expressions. Owns the inspection of the functions that this
process defines; other functions are not covered.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import ibis

from barbule.errors import BarbuleError, DependencyError, UnknownFunctionError
from barbule.functions.registry import lookup
from barbule.nodes import FunctionCall, ManagedTable
from barbule.relations.errors.invalid_queries import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine

__all__ = ["check_query_functions", "columns_with_queries_over"]


def check_query_functions(engine: Engine, dropped: Sequence[TableRecord], force: str) -> None:
    """Refuse to drop tables that a `@bb.query` reads for a column of a table that stays.

    Parameters
    ----------
    dropped
        The dropped tables.
    force
        The argument that forces the drop, for the error.

    Raises
    ------
    DependencyError
        It names the columns.
    """
    dropped_ids = {record.id for record in dropped}
    for record in dropped:
        queried = [
            f"{other.name}.{column}"
            for other, column in columns_with_queries_over(engine, record)
            if other.id not in dropped_ids
        ]
        if queried:
            raise DependencyError(
                f"a @bb.query reads it for {', '.join(map(repr, queried))}.",
                table=record.name,
                hint=f"Drop the column first, or pass {force}: the values of the column remain, "
                "but rows can no longer be inserted.",
            )


def columns_with_queries_over(engine: Engine, table: TableRecord) -> list[tuple[TableRecord, str]]:
    """Return the columns of other tables that call a query over a table, with their tables."""
    columns = []
    for record in engine.catalog.tables():
        if record.id == table.id:
            continue
        for column in record.columns:
            if column.kind == "data" or column.hidden:
                continue
            value = engine.expression(str(column.expression), None)
            if any(table.id in _table_ids_read(call) for call in value.find(FunctionCall)):
                columns.append((record, column.name))
    return columns


def _table_ids_read(call: FunctionCall) -> Iterator[int]:
    """Yield the tables that the call of a query function reads, built with parameters."""
    try:
        function = lookup(call.function, call.version)
        if function.kind != "query":
            return
        arguments = json.loads(call.template)
        built = function.body(
            **{name: _parameter(argument, call) for name, argument in arguments.items()}
        )
    except (UnknownFunctionError, BarbuleError, *REFUSALS, TypeError, ValueError):
        return  # not defined here, or not buildable without values
    op = getattr(built, "op", None)
    if op is not None:
        yield from (leaf.table_id for leaf in op().find(ManagedTable))


def _parameter(argument: Any, call: FunctionCall) -> Any:
    if isinstance(argument, dict) and set(argument) == {"$"}:
        return ibis.param(call.values[argument["$"]].dtype)
    return argument
