"""The column in the error of a view's filter that the database cannot compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from barbule.errors import BarbuleError
    from barbule.executor.engine import Engine

__all__ = ["name_filter_column"]


def name_filter_column(
    engine: Engine,
    error: BarbuleError,
    query: ops.Relation,
    relations: Mapping[int, ops.Relation],
    staged: Mapping[str, pa.Table],
) -> None:
    """Add the column to the error of a filter that failed; no model is called.

    Parameters
    ----------
    query
        The relation that could not be computed, with its relations and staged rows.
    """
    if error.column is not None:
        return
    for node in reversed(query.find(ops.Filter)):  # the innermost first
        predicates = {
            f"p{position}": predicate for position, predicate in enumerate(node.predicates)
        }
        projection = ops.Project(node.parent, predicates).to_expr()
        failing = engine.failing_column(projection, relations, staged)
        if failing is None:
            continue
        names = {field.name for field in predicates[failing].find(ops.Field, filter=ops.Value)}
        error.column = names.pop() if len(names) == 1 else None
        error.hint = (
            f"{error.hint or ''} The function is called in a filter of the view: "
            "nothing was changed."
        ).lstrip()
        return
