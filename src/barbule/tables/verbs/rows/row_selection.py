"""The rows that a condition selects, and expressions over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import ExpressionError
from barbule.planner.lineage import LOOKS_AROUND, changes_row_count
from barbule.relations.errors.refused_arguments import missing_condition, refuse_plain
from barbule.tables.compute.function_expressions import resolve_expression
from barbule.tables.compute.lossless_casts import (
    holds_decimals,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import Condition

__all__ = ["bind_values", "is_row_local", "rebind", "row_identities", "selected_rows"]


def selected_rows(table: ir.Table, where: Condition | None) -> ir.Table:
    """Return the rows of a table's hidden leaf that meet a condition; None selects all."""
    refuse_plain(where, table)
    original, where = where, resolve_expression(table, where)
    if where is None and original is not None:
        raise missing_condition(original, table)
    leaf = table.op()
    hidden = leaf.copy(hidden=True)
    if isinstance(where, ir.BooleanColumn) and is_row_local(where.op(), leaf):
        return ops.Filter(hidden, [rebind(where.op(), leaf, hidden)]).to_expr()
    filtered = (table if where is None else table.filter(where)).op()
    return filtered.replace({leaf: hidden}).to_expr()


def bind_values(table: ir.Table, values: Mapping[str, Any]) -> Mapping[str, ops.Value]:
    """Bind the expressions of new values to their table."""
    leaf = table.op()
    if all(
        isinstance(value, ir.Value)
        and not holds_decimals(value.type())  # which have their digits once they are bound
        and is_row_local(value.op(), leaf)
        for value in values.values()
    ):
        return {name: value.op() for name, value in values.items()}
    bound: Mapping[str, ops.Value] = table.select(**values).op().values
    for name, value in bound.items():
        if changes_row_count(value):
            raise ExpressionError(
                "a new value must be one value for each row, but unnest() creates rows.",
                table=table.get_name(),
                column=name,
                hint="Choose one item: t.items[0].",
            )
    return bound


def is_row_local(value: ops.Value, leaf: ManagedTable) -> bool:
    """Whether a value depends only on its own row, so that it needs no binding."""
    nonlocal_operations = (*LOOKS_AROUND, ops.Alias, ops.Unnest)
    return value.relations <= {leaf} and not value.find(nonlocal_operations, filter=ops.Value)


def row_identities(rows: ir.Table) -> ir.Table:
    """Select the row ids of a hidden leaf."""
    relation = rows.op()
    return ops.Project(relation, {RID: ops.Field(relation, RID)}).to_expr()


def rebind(value: ops.Value, leaf: ManagedTable, parent: ops.Relation) -> ops.Value:
    """Rewrite a value over a leaf to another relation with its columns."""
    fields = {
        field: ops.Field(parent, field.name)
        for field in value.find(ops.Field, filter=ops.Value)
        if field.rel == leaf
    }
    return value.replace(fields, filter=ops.Value)
