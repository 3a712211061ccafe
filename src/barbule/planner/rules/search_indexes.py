"""Reads the best rows by similarity from the vector index, if it can find them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import ibis.expr.operations as ops

from barbule.backends.base import RID
from barbule.nodes import Similarity
from barbule.planner.hidden_columns import expose, row_identities, shows_all_rows, with_rid
from barbule.planner.lineage import (
    EXPENSIVE_VALUES,
    each_relation,
    fresh_name,
    hide,
    is_unsteady,
    origin,
    rebuild,
    trace,
)
from barbule.planner.query_vectors import vector_of
from barbule.planner.stages import SCORE

if TYPE_CHECKING:
    from barbule.nodes import ManagedTable
    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["search_indexes"]


def search_indexes(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Find the nearest rows first, by the index or in memory, if the latest rows are searched.

    Filters and joins without calls determine the qualifying rows. Everything else is scanned.
    """

    def search(relation: ops.Relation) -> ops.Relation:
        top_rows = _top_rows(relation)
        return relation if top_rows is None else _by_index(top_rows, builder)

    return each_relation(root, search)


class _TopRows(NamedTuple):
    """`order_by(similarity to a constant, asc=False).limit(k)`."""

    limit: ops.Limit
    sort: ops.Sort
    similarity: Similarity

    @property
    def row_count(self) -> int:
        """The number of nearest rows that are needed, including those of the offset."""
        return int(self.limit.n) + int(self.limit.offset)


def _top_rows(relation: ops.Relation) -> _TopRows | None:
    if not isinstance(relation, ops.Limit) or not isinstance(relation.parent, ops.Sort):
        return None
    if not isinstance(relation.n, int) or not isinstance(relation.offset, int):
        return None
    key, *further_keys = relation.parent.keys
    if further_keys:  # they order rows that are equally near, which an index cannot
        return None
    similarity = trace(key.arg)
    if not isinstance(similarity, Similarity) or key.ascending or similarity.query.relations:
        return None
    return _TopRows(relation, relation.parent, similarity)


def _by_index(top_rows: _TopRows, builder: PlanBuilder) -> ops.Relation:
    """Read the nearest rows from the index; unchanged if it cannot be searched."""
    limit, sort, similarity = top_rows
    column_origin = origin(similarity.arg)
    if column_origin is None:
        return limit
    leaf, column = column_origin
    index = builder.index_of(leaf, column, similarity.index)
    if not index.ready:
        return limit
    identified = _with_identities(sort, leaf, similarity)
    if identified is None:
        return limit
    exposed, rid = identified
    rows = None if shows_all_rows(sort.parent, leaf) else row_identities(exposed, rid)
    if rows is not None and rows.find(EXPENSIVE_VALUES):
        return limit
    vector = vector_of(index, similarity.query)
    candidates = builder.candidates(index, vector, top_rows.row_count, rows)
    scores = builder.score_columns.setdefault((index.table_id, index.name, vector), {})
    if exposed.find(ops.JoinChain):  # a table may be on both sides
        searched, score = _join_candidates(exposed, rid, candidates, sort.parent.schema.names)
        scores[searched] = score
    else:
        hidden = leaf.copy(hidden=True)
        nearest, score = _join_candidates(hidden, RID, candidates, hidden.schema.names)
        scores[nearest] = score
        searched = sort.parent.replace({leaf: nearest})
    new_sort = rebuild(sort, searched)
    # A column may have been dropped since the query was written, and the query may not need it.
    names = tuple(name for name in sort.schema.names if name in new_sort.schema)
    return ops.Limit(hide(new_sort, names), limit.n, limit.offset)


def _join_candidates(
    relation: ops.Relation, rid: str, candidates: ops.Relation, names: tuple[str, ...]
) -> tuple[ops.Relation, str]:
    """Keep the candidate rows, with their similarity under the returned name."""
    score = fresh_name(SCORE, relation.schema)
    left, right = ops.JoinReference(relation, 0), ops.JoinReference(candidates, 1)
    is_candidate = ops.Equals(ops.Field(left, rid), ops.Field(right, RID))
    columns = {**{name: ops.Field(left, name) for name in names}, score: ops.Field(right, SCORE)}
    return ops.JoinChain(left, (ops.JoinLink("inner", right, (is_candidate,)),), columns), score


def _with_identities(
    sort: ops.Sort, leaf: ManagedTable, similarity: Similarity
) -> tuple[ops.Relation, str] | None:
    """Return the row ids of the sorted rows under a name; None if that is unknown."""
    if is_unsteady(sort.parent):  # qualifying rows may no longer qualify when they are read
        return None
    linear = with_rid(sort.parent)
    if linear is not None:
        return linear, RID
    if sort.keys[0].arg != similarity:  # it was computed further below
        return None
    if sort.parent.find((ops.Limit, ops.WindowFunction)):
        return None
    joins = sort.parent.find(ops.JoinChain)
    if any(link.how != "inner" for join in joins for link in join.rest):
        return None
    return expose(sort.parent, leaf, RID, similarity.arg)
