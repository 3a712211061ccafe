"""Converts similarity to arithmetic over stored vectors, and a stored vector to a column.

Owns the rewrite of similarities and vectors if the nearest rows are not searched first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import ibis.expr.operations as ops

from barbule.errors import ExpressionError, UnsupportedError
from barbule.nodes import Similarity, StoredVector
from barbule.planner.hidden_columns import expose
from barbule.planner.lineage import (
    calls_in,
    each_relation,
    hide,
    origin,
    own_values,
    rebuild,
    repoint,
)
from barbule.planner.query_vectors import vector_of
from barbule.planner.stages import SCORE

if TYPE_CHECKING:
    from barbule.nodes import ManagedTable
    from barbule.planner.plan_builder import PlanBuilder
    from barbule.planner.query_vectors import IndexedColumn

__all__ = ["similarity_to_vectors"]

IndexValue: TypeAlias = Similarity | StoredVector


def similarity_to_vectors(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Replace similarity by arithmetic over the stored vectors and the embedded query."""

    def replace(relation: ops.Relation) -> ops.Relation:
        index_values = dict.fromkeys(
            index_value
            for value in own_values(relation)
            for index_value in calls_in(value, (Similarity, StoredVector))
        )
        return _with_vectors(relation, list(index_values), builder) if index_values else relation

    return each_relation(root, replace)


def _with_vectors(
    relation: ops.Relation, index_values: list[IndexValue], builder: PlanBuilder
) -> ops.Relation:
    if not hasattr(relation, "parent"):
        raise UnsupportedError(
            f"similarity cannot be used inside {type(relation).__name__}.",
            hint="Compute it with mutate() first.",
        )
    parent = relation.parent
    vector_columns: list[tuple[IndexValue, IndexedColumn, str | None]] = []
    scores: dict[IndexValue, str] = {}
    for index_value in index_values:
        leaf, column = _indexed_column(index_value)
        index = builder.index_of(leaf, column, index_value.index)
        score = _searched_score(index_value, index, parent, builder)
        if score is not None:
            parent, scores[index_value] = score
            continue
        exposed = expose(parent, leaf, index.vector, index_value.arg)
        if exposed is not None:
            parent = exposed[0]
        vector_columns.append((index_value, index, exposed and exposed[1]))
    replacements: dict[ops.Node, ops.Node] = {
        index_value: ops.Field(parent, name) for index_value, name in scores.items()
    }
    for index_value, index, vector_column in vector_columns:
        # Single rows may not be passed on: then the values are embedded again, from the ledger.
        arg = repoint(index_value.arg, relation.parent, parent)
        left = ops.Field(parent, vector_column) if vector_column else vector_of(index, arg)
        replacements[index_value] = left
        if isinstance(index_value, Similarity):
            right = vector_of(index, repoint(index_value.query, relation.parent, parent))
            if not right.relations and not _holds_calls(right):
                right = builder.staged_constant(right, index)
            replacements[index_value] = builder.facts.similarity(left, right, index.metric)
            builder.add_note(_scan_note(relation, index_value, index))
    rebuilt = rebuild(relation, parent, lambda value: value.replace(replacements, filter=ops.Value))
    return hide(rebuilt, relation.schema.names)


def _holds_calls(value: ops.Value) -> bool:
    """Whether a value contains the result of a function and is not that result itself."""
    return any(call != value for call in calls_in(value))


def _indexed_column(index_value: IndexValue) -> tuple[ManagedTable, str]:
    column_origin = origin(index_value.arg)
    if column_origin is not None:
        return column_origin
    verb = "similarity" if isinstance(index_value, Similarity) else "embedding"
    raise ExpressionError(
        f"{verb}() needs a column of a table.",
        hint=f"Call it on a column with an embedding index: t.text.{verb}(...).",
    )


def _searched_score(
    index_value: IndexValue, index: IndexedColumn, parent: ops.Relation, builder: PlanBuilder
) -> tuple[ops.Relation, str] | None:
    """Return the score that the search for the nearest rows already returned, if any."""
    if not isinstance(index_value, Similarity):
        return None
    key = (index.table_id, index.name, vector_of(index, index_value.query))
    score_columns = builder.score_columns.get(key)
    leaf, _ = _indexed_column(index_value)
    return (score_columns and expose(parent, leaf, SCORE, index_value.arg, score_columns)) or None


def _scan_note(relation: ops.Relation, similarity: Similarity, index: IndexedColumn) -> str:
    """Add a note why the database compares every row."""
    if index.scan_reason:
        reason = index.scan_reason
    elif similarity.query.relations:
        reason = "each row is compared with a different value"
    elif not isinstance(relation, ops.Sort):
        reason = (
            "the query requests all rows; order_by(..., asc=False).limit(k) finds only the nearest"
        )
    else:
        reason = "the sorted rows, or their number, are not known in advance"
    return f"Similarity by the index {index.name!r}: compared exactly by the database: {reason}"
