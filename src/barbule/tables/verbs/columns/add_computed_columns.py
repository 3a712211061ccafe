"""Adds or replaces computed columns, and computes them for all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.errors import (
    ExpressionError,
    SchemaError,
)
from barbule.planner.lineage import calls_in
from barbule.relations.errors.refused_arguments import refuse_formatted
from barbule.tables.commit import run_transaction
from barbule.tables.compute.binding import bind_column, new_column, with_error_policy
from barbule.tables.compute.dependencies import dependent_columns
from barbule.tables.compute.virtual_columns import check_readable
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import (
    IF_EXISTS,
    check_names,
    check_policy,
    current_record,
)
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.verbs.columns.column_writes import (
    check_names_in_views,
    compute_new_columns,
    recreate_columns,
    update_views,
)
from barbule.tables.views.dependent_views import dependent_views

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.types as ir

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.arguments import IfExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["add_computed_columns", "put_computed_columns"]


@isolated
def add_computed_columns(
    table: ir.Table,
    columns: Mapping[str, Any],
    *,
    stored: bool | None = None,
    if_exists: IfExists = "error",
    on_error: str | None = None,
) -> UpdateResult:
    """Add computed columns and compute them for all rows.

    Parameters
    ----------
    on_error
        The error policy for a row for which a function fails, if the call itself sets none.
    """
    leaf = table.op()
    engine: Engine = leaf.source
    check_policy(if_exists, IF_EXISTS[:3], "if_exists")
    if on_error is not None:
        check_policy(on_error, ("abort", "null"), "on_error")
    since = engine.catalog.refresh()
    record = current_record(leaf)
    check_names(columns, record.name, table.columns)
    for name, expr in columns.items():
        _refuse_options(record, name, expr)
    values = {
        name: with_error_policy(bind_column(table, expr, name), on_error)
        for name, expr in columns.items()
        if _is_to_add(table, record, name, if_exists)
    }
    if not values:
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
    if not stored:  # stored columns are computed at once
        check_readable(engine, ops.Project(leaf, values).to_expr(), record.name)
    calls = [call for value in values.values() for call in calls_in(value)]
    engine.caller.resources.prepare_models(call.function for call in calls)

    def prepare(transaction: Transaction) -> None:
        record = put_computed_columns(
            transaction, current_record(transaction.leaf(leaf)), values, stored=stored
        )
        check_names_in_views(transaction.engine, record, values)

    transaction, _ = run_transaction(
        engine, "add computed column", prepare, since=since, slow=bool(calls)
    )
    rows = transaction.row_count(record.id)
    return transaction.result(UpdateResult, record.id, rows)


def _refuse_options(record: TableRecord, name: str, expr: object) -> None:
    """Refuse a name that looks like an argument of the method, which would become a column."""
    if expr is None or isinstance(expr, str | bytes | bool | list | tuple | dict | set):
        refuse_formatted(expr, table=record.name, column=name)
        raise ExpressionError(
            "a computed column needs an expression.",
            table=record.name,
            column=name,
            # Expressions in it would be printed as plans.
            value=None if isinstance(expr, list | tuple | dict | set) else expr,
            hint="If you meant an argument, it does not exist. Write an expression with columns, "
            't.a + 1; use ibis.literal(...) for a constant, ibis.struct({"a": t.a}) for a '
            "struct, and ibis.array([t.a, 1]) for a list.",
        )


def _is_to_add(table: ir.Table, record: TableRecord, name: str, if_exists: IfExists) -> bool:
    if name not in table.columns:
        return True
    if if_exists == "ignore":
        return False
    column = record.column(name)
    if if_exists == "replace" and column is not None and column.kind != "data":
        return True
    raise SchemaError(
        "the column already exists."
        if if_exists == "error"
        else "only a computed column of the table itself can be replaced.",
        table=record.name,
        column=name,
        hint='Choose another name, or pass if_exists="replace" for a computed column.',
    )


def put_computed_columns(
    transaction: Transaction,
    record: TableRecord,
    values: Mapping[str, ops.Value],
    *,
    stored: bool | None,
    hidden: bool = False,
) -> TableRecord:
    """Add computed columns, or replace those with their names, and fill them.

    Returns
    -------
    TableRecord
        The table with the columns. The change counts the rows for which they were computed.
    """
    replaced = {name for name in values if record.column(name)}
    downstream = dependent_columns(transaction.engine, record, replaced) if replaced else []
    new_columns = []
    for name, value in values.items():
        _refuse_cycle(record, name, downstream if name in replaced else [], value)
        column = new_column(record, name, value, stored=stored, hidden=hidden)
        old = record.column(name)
        record = record.replace_column(old, column) if old else record.with_columns(column)
        new_columns.append(column)
    transaction.put_record(record)
    recomputed = [column for column in downstream if column.name not in values]
    record, recreated = recreate_columns(transaction, record, recomputed)
    compute_new_columns(transaction, record, new_columns + recreated)
    if replaced and dependent_views(transaction.engine, record):
        update_views(transaction, record, replaced | {column.name for column in downstream})
    return record


def _refuse_cycle(
    record: TableRecord, name: str, downstream: list[Column], value: ops.Value
) -> None:
    names_read = {field.name for field in value.find(ops.Field)}
    cycle = names_read & {name, *(column.name for column in downstream)}
    if cycle:
        raise ExpressionError(
            f"the column would depend on itself, through {', '.join(sorted(cycle))}.",
            table=record.name,
            column=name,
            hint="Compute it from other columns.",
        )
