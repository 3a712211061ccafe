"""Similarity joins: for each row the nearest rows of another table.

Owns the two rewrites of `NearestRows`. If vectors can be cached in memory, the query rows are
computed once and all their vectors are compared in batches; otherwise the database compares every
pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import ExpressionError
from barbule.nodes import NearestRows, Similarity
from barbule.planner.hidden_columns import expose, row_identities, shows_all_rows
from barbule.planner.lineage import each_relation, fresh_name, origin
from barbule.planner.query_vectors import vector_of
from barbule.planner.stages import HIT, QUERY_ROW, SCORE

if TYPE_CHECKING:
    from barbule.nodes import ManagedTable
    from barbule.planner.plan_builder import PlanBuilder
    from barbule.planner.query_vectors import IndexedColumn

__all__ = ["batch_similarity_joins", "scan_similarity_joins"]

_VECTOR = "bb_vector"


def scan_similarity_joins(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Compare all pairs of rows if the searched ones are old or cannot be cached in memory."""

    def scan(relation: ops.Relation) -> ops.Relation:
        if not isinstance(relation, NearestRows) or _search_side(relation, builder) is not None:
            return relation
        return _compare_all_pairs(relation)

    return each_relation(root, scan)


def batch_similarity_joins(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Compute the query rows once, and find the nearest rows of all of them together."""

    def batch(relation: ops.Relation) -> ops.Relation:
        return (
            _search_in_batches(relation, builder) if isinstance(relation, NearestRows) else relation
        )

    return each_relation(root, batch)


@dataclass(frozen=True)
class _SearchSide:
    """The searched rows, if their vectors may be cached in memory.

    Attributes
    ----------
    rows
        The relation of the searched rows, with their row ids in the column `rid`.
    """

    leaf: ManagedTable
    index: IndexedColumn
    rows: ops.Relation
    rid: str


def _search_side(join: NearestRows, builder: PlanBuilder) -> _SearchSide | None:
    """Return the searched rows with their row ids; None if all pairs are compared."""
    column_origin = origin(join.arg)
    if column_origin is None:
        raise ExpressionError(
            "nearest() needs a column of a table.",
            hint="Call it on a column with an embedding index: t.text.nearest(...).",
        )
    leaf, column = column_origin
    index = builder.index_of(leaf, column, join.index)
    exposed = expose(join.right, leaf, RID, join.arg) if index.in_memory else None
    return None if exposed is None else _SearchSide(leaf, index, *exposed)


def _numbered(join: NearestRows, new_columns: dict[str, ops.Value]) -> ops.Project:
    """Return the query rows with their numbers, and more columns."""
    number = ops.WindowFunction(ops.RowNumber())
    return ops.Project(join.left, {**join.left.fields, QUERY_ROW: number, **new_columns})


def _compare_all_pairs(join: NearestRows) -> ops.Relation:
    queries = ir.Table(_numbered(join, {HIT: join.query}))
    pairs = queries.cross_join(ir.Table(join.right), rname="bb_{name}")
    columns = {name: pairs[name] for name in join.left.schema.names}
    renamed = dict(zip(join.right.schema.names, join.names(), strict=True))
    for name, new_name in renamed.items():
        columns[new_name] = pairs[f"bb_{name}" if name in queries.columns else name]
    near = pairs.select(**columns, **{QUERY_ROW: pairs[QUERY_ROW], HIT: pairs[HIT]})
    score = Similarity(near[renamed[join.arg.name]], near[HIT].op(), join.index).to_expr()
    scored = near.mutate(**{join.score: score})
    return _best_of_each(scored.filter(scored[join.score].notnull()), join)


def _best_of_each(scored: ir.Table, join: NearestRows) -> ops.Relation:
    order = [ibis.desc(scored[join.score])]
    rank = ibis.row_number().over(ibis.window(group_by=scored[QUERY_ROW], order_by=order))
    ranked = scored.mutate(bb_rank=rank)
    best = ranked.filter(ranked.bb_rank < join.k)
    return best.select(*join.schema.names).op()


def _search_in_batches(join: NearestRows, builder: PlanBuilder) -> ops.Relation:
    side = _search_side(join, builder)
    if side is None:
        return _compare_all_pairs(join)
    vector = fresh_name(_VECTOR, join.left.schema)
    queries = builder.materialised(_numbered(join, {vector: vector_of(side.index, join.query)}))
    all_rows = shows_all_rows(join.right, side.leaf)
    rows = None if all_rows else row_identities(side.rows, side.rid)
    pairs = ir.Table(builder.nearest_pairs(side.index, queries, vector, join.k, rows))
    left = ir.Table(queries)
    right = ir.Table(side.rows)
    hits = left.inner_join(pairs, left[QUERY_ROW] == pairs[QUERY_ROW])
    hits = hits.select(
        **{name: left[name] for name in join.left.schema.names},
        **{HIT: pairs[HIT], join.score: pairs[SCORE]},
    )
    joined = hits.inner_join(right, hits[HIT] == right[side.rid])
    right_names = dict(zip(join.names(), join.right.schema.names, strict=True))
    return joined.select(
        **{name: hits[name] for name in join.left.schema.names},
        **{new_name: right[name] for new_name, name in right_names.items()},
        **{join.score: hits[join.score]},
    ).op()
