"""Filters of views that the database cannot compute: which column they read.

Owns the search for that column alone; errors are made where the rows are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from barbule.errors import BarbuleError
    from barbule.executor.engine import Engine

__all__ = ["name_filtered"]


def name_filtered(
    engine: Engine,
    error: BarbuleError,
    query: ops.Relation,
    relations: Mapping[int, ops.Relation],
    staged: Mapping[str, pa.Table],
) -> None:
    """Name the column in an error of rows that could not be filtered; no model is asked.

    Parameters
    ----------
    query
        What could not be computed, with the relations and staged rows that it was asked with.
    """
    if error.column is not None:
        return
    for node in reversed(query.find(ops.Filter)):  # the innermost first
        predicates = {f"p{place}": each for place, each in enumerate(node.predicates)}
        asked = ops.Project(node.parent, predicates).to_expr()
        found = engine.failing(asked, relations, staged)
        if found is None:
            continue
        names = {each.name for each in predicates[found].find(ops.Field, filter=ops.Value)}
        error.column = names.pop() if len(names) == 1 else None
        error.hint = f"{error.hint or ''} It is a filter of the view: nothing was changed.".lstrip()
        return
