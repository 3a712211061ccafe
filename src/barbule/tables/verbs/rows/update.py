"""Columns of rows get new values.

Owns the two ways: a single query of the backend where nothing else follows the rows of the
table; otherwise the rows are read, and written where they differ.
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
from barbule.nodes import ERROR
from barbule.suggestions import one_of
from barbule.tables.compute.dependencies import dependents
from barbule.tables.compute.function_expressions import resolve
from barbule.tables.compute.lossless_casts import (
    loses_by_cast,
    may_be_too_large,
    on_the_clock,
    without_loss,
)
from barbule.tables.compute.media_errors import cell_rules
from barbule.tables.compute.stored_rows import kept_fields, within_backend
from barbule.tables.sources import read_rows
from barbule.tables.sources.required_values import asks_for_values
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import physical_name
from barbule.tables.transaction.results import (
    UpdateResult,
)
from barbule.tables.transaction.writes import located
from barbule.tables.verbs.rows.changed_rows import write_differing
from barbule.tables.verbs.rows.new_values import check_new_values
from barbule.tables.verbs.rows.row_selection import bind_values, chosen_rows, rebind
from barbule.tables.verbs.rows.row_writes import allows_in_place, unless_empty, writable
from barbule.types import Media, storage
from barbule.values.cells import holds_media

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

_OLD = "bb_old_"


@isolated
def update(table: ir.Table, values: Mapping[str, Any], where: Condition | None) -> UpdateResult:
    """Give columns of rows new values; only what is downstream of them is computed again."""
    leaf = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = writable(leaf)
    if not values:
        raise ExpressionError(
            "update takes at least one column.", table=record.name, hint='update({"a": 1}).'
        )

    def prepare(transaction: Transaction) -> int | None:
        record = writable(leaf)
        chosen = chosen_rows(table, where)
        if allows_in_place(engine, record):
            query = _new_values_query(engine, table, record, chosen, assigned)
            if query is not None:
                kept = kept_fields(record, chosen.op()).keys() - set(query.columns)
                transaction.replace_from_query(record, query, sorted(kept))
                return None
        rows, old = _new_state(engine, table, record, chosen, assigned)
        check_new_values(record, rows, set(values))
        return write_differing(transaction, record, rows, old, values)

    assigned = {name: _assigned(engine, table, record, name, values[name]) for name in values}
    return unless_empty(leaf, UpdateResult, "update", prepare, since=since)


def _assigned(
    engine: Engine, table: ir.Table, record: TableRecord, name: str, value: object
) -> AssignedValue:
    """Return the expression of a new value; of a plain one, once it is checked, the cell."""
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
            hint="Update what it is computed from, or replace its expression by "
            "add_computed_column(..., if_exists='replace').",
        )
    if isinstance(value, ir.Expr) or hasattr(value, "__ibis_deferred__"):
        return value
    if callable(value) or type(value).__name__ == "Deferred":
        return resolve(table, value, name)
    # Not by way of a literal: SQL reads 0.7 as a decimal, and not all types have literals.
    single = sch.Schema({name: column.dtype})
    rules = cell_rules(record)
    row = read_rows({name: value}, single, record.name, engine.library, rules=rules)
    return row.column(name).combine_chunks()


def _new_state(
    engine: Engine,
    table: ir.Table,
    record: TableRecord,
    old: ir.Table,
    assigned: Mapping[str, Any],
) -> tuple[pa.Table, pa.Table]:
    """Read the chosen rows with the assigned columns in their new state, and these as they are."""
    import pyarrow as pa

    leaf = table.op()
    expressions = {
        name: value for name, value in assigned.items() if not isinstance(value, pa.Array)
    }
    bound = bind_values(table, expressions) if expressions else {}
    parent = old.op()
    shown = kept_fields(record, parent)
    checked: list[Column] = []
    for column in record.columns:
        if column.name in bound:
            value = rebind(bound[column.name], leaf, parent)
            kinds = value.dtype, column.dtype
            if loses_by_cast(*kinds) or may_be_too_large(*kinds):
                value = on_the_clock(value)
                checked.append(column)
            elif storage(value.dtype) != storage(column.dtype):
                value = ops.Cast(value, column.dtype)
            shown[column.physical] = value
        if column.name in assigned and column.fallible:
            shown[column.errors] = ops.Literal(None, ERROR)
    kept = kept_fields(record, parent)
    places = [place for name in assigned for place in _places(record, name)]
    before = {f"{_OLD}{place}": kept[place] for place in places}
    with located(record, next(iter(bound)) if len(bound) == 1 else None):
        read = engine.arrow(ops.Project(parent, {**shown, **before}).to_expr())
    rows, old = read.select(list(shown)), read.select(list(before)).rename_columns(places)
    for column in checked:
        place = rows.column_names.index(column.physical)
        cells = without_loss(rows.column(place), column, record.name, engine.library)
        rows = rows.set_column(place, column.physical, cells)
    for name in assigned.keys() - expressions.keys():
        place = list(shown).index(physical_name(record, name))
        cells = assigned[name].take(pa.repeat(0, rows.num_rows))
        rows = rows.set_column(place, rows.column_names[place], cells)
    return rows, old


def _places(record: TableRecord, name: str) -> list[str]:
    """Return where the values of a column are, and why they are missing."""
    column = record.column(name)
    return [] if column is None else [column.physical, column.errors][: 1 + column.fallible]


def _new_values_query(
    engine: Engine,
    table: ir.Table,
    record: TableRecord,
    old: ir.Table,
    assigned: Mapping[str, Any],
) -> ir.Table | None:
    """Make the query of new values by rows; None where the backend alone cannot compute them."""
    changed = [column for column in record.columns if column.name in assigned]
    affected = dependents(engine, record, set(assigned))
    if any(column.kind == "stored" for column in affected):
        return None
    if any(column.choices or asks_for_values(column.dtype) for column in changed):
        return None
    values = {name: _literal(value) for name, value in assigned.items()}
    if any(value is None for value in values.values()):
        return None
    leaf, parent = table.op(), old.op()
    bound = bind_values(table, values)
    if any(loses_by_cast(bound[column.name].dtype, column.dtype) for column in changed):
        return None
    new: dict[str, ops.Value] = {}
    for column in changed:
        value, kind = bound[column.name], storage(column.dtype)
        new[column.name] = value if value.dtype == kind else ops.Cast(value, kind)
    if not any(value.find(ops.Impure, filter=ops.Value) for value in new.values()):
        # What is random would be another here than where it is written.
        differing = [
            each
            for column in changed
            for each in _differing(column, rebind(new[column.name], leaf, parent), parent)
        ]
        parent = ops.Filter(parent, [functools.reduce(ops.Or, differing)])
    shown: dict[str, ops.Value] = {RID: ops.Field(parent, RID)}
    for column in changed:
        shown[column.physical] = rebind(new[column.name], leaf, parent)
        if column.fallible:
            shown[column.errors] = ops.Literal(None, ERROR)
    return within_backend(engine, ops.Project(parent, shown).to_expr())


def _differing(column: Column, new: ops.Value, parent: ops.Relation) -> list[ops.Value]:
    """Say, by any of several conditions, that a cell is another than before or may be.

    It is told for rows in Python by `changed_rows`.
    """
    old, kind = ops.Field(parent, column.name), storage(column.dtype)
    plain = old if old.dtype == kind else ops.Cast(old, kind)
    found: list[ops.Value] = [ops.Not(ops.IdenticalTo(plain, new))]
    if column.fallible:
        found.append(ops.NotNull(ops.Field(parent, column.error_name)))
    if isinstance(column.dtype, Media):
        found.append(ops.Not(ops.StartsWith(plain, "media:")))
    elif holds_media(column.dtype):
        found.append(ops.NotNull(old))
    return found


def _literal(value: AssignedValue) -> AssignedValue | None:
    """Make a value of the query's of a cell that SQL writes exactly; None for others."""
    import pyarrow as pa

    if not isinstance(value, pa.Array):
        return value
    cell = value[0].as_py()
    exact = (
        pa.types.is_signed_integer,
        pa.types.is_float64,
        pa.types.is_string,
        pa.types.is_boolean,
    )
    if cell is None or not any(test(value.type) for test in exact):
        return None
    return ibis.literal(cell)
