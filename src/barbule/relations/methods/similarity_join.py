"""The expression of a similarity join.

Owns which columns can be joined by similarity. The planner decides how the nearest rows are found.
"""

from __future__ import annotations

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule import nodes
from barbule.errors import ExpressionError
from barbule.relations.ibis_verbs import wrap

__all__ = ["nearest"]


def nearest(
    column: ir.Column, query: ir.Column, *, k: int, index: str | None, name: str
) -> ir.Table:
    """Return the relation of the rows that are most similar to those of another one."""
    if not isinstance(query, ir.Column) or len(query.op().relations) != 1:
        raise ExpressionError(
            "nearest() takes a column of another table.",
            value=None if isinstance(query, ir.Expr) else query,
            hint="Pass a column of that table; for a single query, use "
            "order_by(t.text.similarity(query)).",
        )
    if isinstance(k, bool) or not isinstance(k, int) or k < 0:
        raise ExpressionError(
            "this number of rows is not possible.", value=k, hint="k= must be 0 or more."
        )
    if not isinstance(column.op(), ops.Field):
        raise ExpressionError(
            "nearest() needs a column of a table.",
            hint="Call it on a column with an embedding index: t.text.nearest(...).",
        )
    (left,) = query.op().relations
    if name in left.schema:
        raise ExpressionError(
            f"there is a column {name!r} already.", hint="Give the score another name with name=."
        )
    searched = column.op()
    return wrap(
        nodes.NearestRows(left, searched.rel, searched, query.op(), k, index, name).to_expr()
    )
