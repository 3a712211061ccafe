"""Updates columns of rows.

Owns the two ways: a single query of the backend if nothing else depends on the rows of the table;
otherwise the rows are read, and written if they differ.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeAlias

import ibis
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import ColumnNotFoundError, ExpressionError
from barbule.nodes import CELL_ERROR_TYPE
from barbule.suggestions import one_of
from barbule.tables.compute.dependencies import dependent_columns
from barbule.tables.compute.function_expressions import resolve_expression
from barbule.tables.compute.lossless_casts import (
    as_local_time,
    cast_without_loss,
    is_lossy_cast,
    may_overflow,
)
from barbule.tables.compute.media_errors import cell_rules
from barbule.tables.compute.stored_rows import lower_to_backend, stored_fields
from barbule.tables.sources import read_rows
from barbule.tables.sources.required_values import has_required_values
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import physical_name
from barbule.tables.transaction.results import (
    UpdateResult,
)
from barbule.tables.transaction.writes import located
from barbule.tables.verbs.rows.changed_rows import write_differing_rows
from barbule.tables.verbs.rows.new_values import check_new_values
from barbule.tables.verbs.rows.row_selection import bind_values, rebind, selected_rows
from barbule.tables.verbs.rows.row_writes import (
    can_write_in_place,
    run_unless_empty,
    writable_record,
)
from barbule.types import declaration, holds_media, storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from ibis import Deferred

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.arguments import Condition
    from barbule.tables.transaction.transaction import Transaction

    AssignedValue: TypeAlias = ir.Value | Deferred | pa.Array

__all__ = ["update"]

_OLD_PREFIX = "bb_old_"


@isolated
def update(table: ir.Table, values: Mapping[str, Any], where: Condition | None) -> UpdateResult:
    """Update columns of rows; only what is downstream of them is recomputed."""
    leaf = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = writable_record(leaf)
    if not values:
        raise ExpressionError(
            "update needs at least one column.", table=record.name, hint='update({"a": 1}).'
        )

    def prepare(transaction: Transaction) -> int | None:
        record = writable_record(transaction.leaf(leaf))
        selected = selected_rows(transaction.table(table), where)
        if can_write_in_place(transaction.engine, record):
            query = _update_query(transaction.engine, table, record, selected, assigned)
            if query is not None:
                carried = stored_fields(record, selected.op()).keys() - set(query.columns)
                transaction.replace_from_query(record, query, sorted(carried))
                return None
        rows, old = _read_new_states(transaction.engine, table, record, selected, assigned)
        check_new_values(record, rows, set(values))
        return write_differing_rows(transaction, record, rows, old, values)

    assigned = {name: _assigned_value(engine, table, record, name, values[name]) for name in values}
    return run_unless_empty(leaf, UpdateResult, "update", prepare, since=since)


def _assigned_value(
    engine: Engine, table: ir.Table, record: TableRecord, name: str, value: object
) -> AssignedValue:
    """Return the expression of a new value; for a plain value, its checked cell."""
    column = record.column(name)
    if column is None or column.hidden:
        raise ColumnNotFoundError(
            "there is no such column.",
            table=record.name,
            column=name,
            hint=one_of(name, table.columns, "It has"),
        )
    if column.kind != "data":
        raise ExpressionError(
            "the column is computed.",
            table=record.name,
            column=name,
            hint="Update the columns that it is computed from, or replace its expression with "
            "add_computed_column(..., if_exists='replace').",
        )
    if isinstance(value, ir.Expr) or hasattr(value, "__ibis_deferred__"):
        return value
    if callable(value) or type(value).__name__ == "Deferred":
        return resolve_expression(table, value, name)
    # Not through a literal: SQL reads 0.7 as a decimal, and not all types have literals.
    single_schema = sch.Schema({name: column.dtype})
    rules = cell_rules(record)
    row = read_rows({name: value}, single_schema, record.name, engine.library, rules=rules)
    return row.column(name).combine_chunks()


def _read_new_states(
    engine: Engine,
    table: ir.Table,
    record: TableRecord,
    old: ir.Table,
    assigned: Mapping[str, Any],
) -> tuple[pa.Table, pa.Table]:
    """Read rows in their new states, and the assigned columns in their old ones."""
    import pyarrow as pa

    leaf = table.op()
    expressions = {
        name: value for name, value in assigned.items() if not isinstance(value, pa.Array)
    }
    bound = bind_values(table, expressions) if expressions else {}
    parent = old.op()
    new_values = stored_fields(record, parent)
    lossy_columns: list[Column] = []
    for column in record.columns:
        if column.name in bound:
            value = rebind(bound[column.name], leaf, parent)
            dtypes = value.dtype, column.dtype
            if is_lossy_cast(*dtypes) or may_overflow(*dtypes):
                value = as_local_time(value)
                lossy_columns.append(column)
            elif storage(value.dtype) != storage(column.dtype):
                value = ops.Cast(value, column.dtype)
            new_values[column.physical] = value
        if column.name in assigned and column.fallible:
            new_values[column.errors] = ops.Literal(None, CELL_ERROR_TYPE)
    old_values = stored_fields(record, parent)
    physical_names = [physical for name in assigned for physical in _physical_columns(record, name)]
    old_fields = {f"{_OLD_PREFIX}{index}": old_values[index] for index in physical_names}
    with located(record, next(iter(bound)) if len(bound) == 1 else None):
        both_states = engine.arrow(ops.Project(parent, {**new_values, **old_fields}).to_expr())
    rows, old = (
        both_states.select(list(new_values)),
        both_states.select(list(old_fields)).rename_columns(physical_names),
    )
    for column in lossy_columns:
        physical = rows.column_names.index(column.physical)
        cells = cast_without_loss(rows.column(physical), column, record.name, engine.library)
        rows = rows.set_column(physical, column.physical, cells)
    for name in assigned.keys() - expressions.keys():
        physical = list(new_values).index(physical_name(record, name))
        cells = assigned[name].take(pa.repeat(0, rows.num_rows))
        rows = rows.set_column(physical, rows.column_names[physical], cells)
    return rows, old


def _physical_columns(record: TableRecord, name: str) -> list[str]:
    """Return the physical columns of a column: its values, and its errors."""
    column = record.column(name)
    return [] if column is None else [column.physical, column.errors][: 1 + column.fallible]


def _update_query(
    engine: Engine,
    table: ir.Table,
    record: TableRecord,
    old: ir.Table,
    assigned: Mapping[str, Any],
) -> ir.Table | None:
    """Return the query of new values; None if the backend alone cannot compute it."""
    assigned_columns = [column for column in record.columns if column.name in assigned]
    affected = dependent_columns(engine, record, set(assigned))
    if any(column.kind == "stored" for column in affected):
        return None
    if any(column.choices or has_required_values(column.dtype) for column in assigned_columns):
        return None
    values = {name: _exact_literal(value) for name, value in assigned.items()}
    if any(value is None for value in values.values()):
        return None
    leaf, parent = table.op(), old.op()
    bound = bind_values(table, values)
    if any(is_lossy_cast(bound[column.name].dtype, column.dtype) for column in assigned_columns):
        return None
    new: dict[str, ops.Value] = {}
    for column in assigned_columns:
        value, dtype = bound[column.name], storage(column.dtype)
        new[column.name] = value if value.dtype == dtype else ops.Cast(value, dtype)
    if not any(value.find(ops.Impure, filter=ops.Value) for value in new.values()):
        # Random values would differ between the comparison and the write.
        conditions = [
            condition
            for column in assigned_columns
            for condition in _difference_conditions(
                column, rebind(new[column.name], leaf, parent), parent
            )
        ]
        parent = ops.Filter(parent, [functools.reduce(ops.Or, conditions)])
    fields: dict[str, ops.Value] = {RID: ops.Field(parent, RID)}
    for column in assigned_columns:
        fields[column.physical] = rebind(new[column.name], leaf, parent)
        if column.fallible:
            fields[column.errors] = ops.Literal(None, CELL_ERROR_TYPE)
    return lower_to_backend(engine, ops.Project(parent, fields).to_expr())


def _difference_conditions(column: Column, new: ops.Value, parent: ops.Relation) -> list[ops.Value]:
    """Return conditions any of which says that a cell has changed, or may have.

    `changed_rows` decides the same for rows in Python.
    """
    old, dtype = ops.Field(parent, column.name), storage(column.dtype)
    stored_old = old if old.dtype == dtype else ops.Cast(old, dtype)
    conditions: list[ops.Value] = [ops.Not(ops.IdenticalTo(stored_old, new))]
    if column.fallible:
        conditions.append(ops.NotNull(ops.Field(parent, column.error_name)))
    if declaration(column.dtype).is_media:
        conditions.append(ops.Not(ops.StartsWith(stored_old, "media:")))
    elif holds_media(column.dtype):
        conditions.append(ops.NotNull(old))
    return conditions


def _exact_literal(value: AssignedValue) -> AssignedValue | None:
    """Return a literal for a cell that SQL writes exactly; None for other cells."""
    import pyarrow as pa

    if not isinstance(value, pa.Array):
        return value
    cell = value[0].as_py()
    exact_types = (
        pa.types.is_signed_integer,
        pa.types.is_float64,
        pa.types.is_string,
        pa.types.is_boolean,
    )
    if cell is None or not any(test(value.type) for test in exact_types):
        return None
    return ibis.literal(cell)
