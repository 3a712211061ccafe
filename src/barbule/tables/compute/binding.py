"""Expressions of computed columns, bound to their table and converted to catalog records.

Owns which expressions are refused: those over other rows, and those that create several rows from
one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.catalog import codec
from barbule.catalog.records import Column, TableRecord
from barbule.errors import ExpressionError
from barbule.nodes import (
    MEDIA_CONTENT_TYPE,
    FunctionCall,
    Similarity,
    StoredVector,
    build_call,
)
from barbule.planner.lineage import LOOKS_AROUND, calls_in, changes_row_count
from barbule.tables.compute.function_expressions import resolve_expression
from barbule.types import Document, declaration, unsupported_reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barbule.executor.engine import Engine
    from barbule.tables.arguments import Expression

__all__ = ["bind_column", "new_column", "with_content_columns", "with_error_policy"]


def bind_column(table: ir.Table, expr: Expression, name: str) -> ops.Value:
    """Bind the expression of a computed column to its table.

    Raises
    ------
    ExpressionError
        If it reads other rows than its own.
    """
    value = table.select(**{name: resolve_expression(table, expr, name)}).op().values[name]
    if refusal_reason := unsupported_reason(value.dtype):
        reason, hint = refusal_reason
        raise ExpressionError(reason, table=table.get_name(), column=name, hint=hint)
    window_nodes = value.find(LOOKS_AROUND, filter=ops.Value)
    if value.find(StoredVector, filter=ops.Value):
        raise ExpressionError(
            "a computed column cannot use the vectors of an index, because the index may be "
            "dropped.",
            table=table.get_name(),
            column=name,
            hint="Call the embedding function itself: embed(t.text). The call ledger already "
            "holds its answers.",
        )
    if window_nodes or value.find(Similarity, filter=ops.Value):
        raise ExpressionError(
            "a computed column can use only the values of its own row.",
            table=table.get_name(),
            column=name,
            hint="Use a query, or a view over a query, to read other rows; use @bb.query to "
            "search.",
        )
    if changes_row_count(value):
        raise ExpressionError(
            "a computed column has one value for each row, but unnest() creates rows.",
            table=table.get_name(),
            column=name,
            hint=f"Create a view of the items: create_view(name, table.select({name}=...)).",
        )
    return value


def with_error_policy(value: ops.Value, on_error: str | None) -> ops.Value:
    """Set the `on_error` of the calls of a value that have none of their own."""
    if on_error is None:
        return value

    def apply(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = node.__recreate__(kwargs) if kwargs else node
        if isinstance(rebuilt, FunctionCall) and rebuilt.on_error is None:
            return rebuilt.copy(on_error=on_error)
        return rebuilt

    changed: ops.Value = value.replace(apply, filter=ops.Value)
    return changed


def new_column(
    record: TableRecord, name: str, value: ops.Value, *, stored: bool | None, hidden: bool = False
) -> Column:
    """Return the record of a computed column.

    Parameters
    ----------
    stored
        Whether its values are stored; None stores those of columns that call functions.
    """
    calls = bool(calls_in(value))
    if stored is False and calls:
        raise ExpressionError(
            "a column that calls a function must be stored.",
            table=record.name,
            column=name,
            hint="Remove stored=False, or call the function in queries.",
        )
    impure_nodes = value.find((ops.Impure,), filter=ops.Value)
    is_stored = calls or bool(impure_nodes) if stored is None else stored
    return Column(
        id=record.next_column,
        name=name,
        dtype=value.dtype,
        kind="stored" if is_stored else "virtual",
        expression=codec.dump(value),
        hidden=hidden,
        fallible=calls and not hidden,
    )


def with_content_columns(engine: Engine, record: TableRecord, names: Iterable[str]) -> TableRecord:
    """Add the hidden columns that record the content of validated media.

    The record is registered in the catalog.
    """
    for name in names:
        column = record.column(name)
        if column is None or not declaration(column.dtype).is_media or not column.validated:
            continue
        # As documents: functions of documents receive the path of the file and open nothing.
        file = ops.Field(engine.leaf(record.id), name).to_expr().cast(Document())
        value = build_call(
            "barbule.functions.media.content", MEDIA_CONTENT_TYPE, {"media": file}
        ).op()
        content_column = new_column(record, column.content_name, value, stored=True, hidden=True)
        record = record.with_columns(content_column)
    return record
