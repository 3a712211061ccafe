"""The expression of a similarity join.

Owns which columns can be joined by similarity. How the nearest rows are found is planned later.
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
    """Make the relation of the rows that are most like those of another one."""
    if not isinstance(query, ir.Column) or len(query.op().relations) != 1:
        raise ExpressionError(
            "the nearest rows are found for each row of another table.",
            value=None if isinstance(query, ir.Expr) else query,
            hint="Give a column of that table; for one query, order_by(t.text.similarity(query)).",
        )
    if isinstance(k, bool) or not isinstance(k, int) or k < 0:
        raise ExpressionError("so many rows cannot be found.", value=k, hint="k= is 0 or more.")
    if not isinstance(column.op(), ops.Field):
        raise ExpressionError(
            "the nearest are asked of a value that is no column of a table.",
            hint="Ask them of a column with an embedding index: t.text.nearest(...).",
        )
    (left,) = query.op().relations
    if name in left.schema:
        raise ExpressionError(
            f"there is a column {name!r} already.", hint="Give the score another name by name=."
        )
    searched = column.op()
    return wrap(
        nodes.NearestRows(left, searched.rel, searched, query.op(), k, index, name).to_expr()
    )
