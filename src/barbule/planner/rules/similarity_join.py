"""Similarity joins: for each row the nearest rows of another table.

Owns the two rewrites of `NearestRows`. Where vectors can be kept in memory, the rows that search
are computed once and all their vectors are compared in batches; else every pair is compared by
the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import ExpressionError
from barbule.nodes import NearestRows, Similarity
from barbule.planner.lineage import each_relation, expose, fresh_name, origin
from barbule.planner.plan import HIT, PLACE, SCORE
from barbule.planner.rules.similarity import vector_of

if TYPE_CHECKING:
    from barbule.planner.rules.rewrites import Scope

__all__ = ["nearest_by_scan", "nearest_in_batches"]

_VECTOR = "bb_vector"


def nearest_by_scan(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Compare all pairs of rows where the searched ones are old or cannot be kept in memory."""

    def change(node: ops.Relation) -> ops.Relation:
        if not isinstance(node, NearestRows) or _place(node, scope) is not None:
            return node
        return _all_pairs(node)

    return each_relation(root, change)


def nearest_in_batches(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Compute the rows that search once, and look for the nearest of all of them together."""

    def change(node: ops.Relation) -> ops.Relation:
        return _batched(node, scope) if isinstance(node, NearestRows) else node

    return each_relation(root, change)


def _place(node: NearestRows, scope: Scope) -> tuple[Any, ops.Relation, str] | None:
    """Return the index, and the searched rows with their identities; None to compare all."""
    place = origin(node.arg)
    if place is None:
        raise ExpressionError(
            "the nearest are asked of a value that is no column of a table.",
            hint="Ask them of a column with an embedding index: t.text.nearest(...).",
        )
    index = scope.index_of(*place, node.index)
    exposed = expose(node.right, place[0], RID, node.arg) if index.in_memory else None
    return None if exposed is None else (index, *exposed)


def _numbered(node: NearestRows, more: dict[str, ops.Value]) -> ops.Project:
    number = ops.WindowFunction(ops.RowNumber())
    return ops.Project(node.left, {**node.left.fields, PLACE: number, **more})


def _all_pairs(node: NearestRows) -> ops.Relation:
    asked: Any = ir.Table(_numbered(node, {HIT: node.query}))
    pairs = asked.cross_join(ir.Table(node.right), rname="bb_{name}")
    names = node.names()
    shown = {name: pairs[name] for name in node.left.schema.names}
    renamed = dict(zip(node.right.schema.names, names, strict=True))
    for name, new in renamed.items():
        both = name in asked.columns
        shown[new] = pairs[f"bb_{name}" if both else name]
    near = pairs.select(**shown, **{PLACE: pairs[PLACE], HIT: pairs[HIT]})
    score = Similarity(near[renamed[node.arg.name]], near[HIT].op(), node.index).to_expr()
    scored = near.mutate(**{node.score: score})
    return _cut(scored.filter(scored[node.score].notnull()), node)


def _cut(scored: Any, node: NearestRows) -> ops.Relation:
    order = [ibis.desc(scored[node.score])]
    number = ibis.row_number().over(ibis.window(group_by=scored[PLACE], order_by=order))
    ranked = scored.mutate(bb_rank=number)
    kept = ranked.filter(ranked.bb_rank < node.k)
    return kept.select(*node.schema.names).op()


def _batched(node: NearestRows, scope: Scope) -> ops.Relation:
    from barbule.planner.rules.rewrites import identities, is_whole

    place = _place(node, scope)
    if place is None:
        return _all_pairs(node)
    index, exposed, rid = place
    vector = fresh_name(_VECTOR, node.left.schema)
    left = _numbered(node, {vector: vector_of(index, node.query)})
    asked = scope.materialised(left)
    leaf = origin(node.arg)
    whole = leaf is not None and is_whole(node.right, leaf[0])
    rows = None if whole else identities(exposed, rid)
    pairs = ir.Table(scope.pairs(index, asked, vector, node.k, rows))
    one: Any = ir.Table(asked)
    two: Any = ir.Table(exposed)
    shown = dict(zip(node.names(), node.right.schema.names, strict=True))
    found = one.inner_join(pairs, one[PLACE] == pairs[PLACE])
    found = found.select(
        **{name: one[name] for name in node.left.schema.names},
        **{HIT: pairs[HIT], node.score: pairs[SCORE]},
    )
    joined = found.inner_join(two, found[HIT] == two[rid])
    return joined.select(
        **{name: found[name] for name in node.left.schema.names},
        **{new: two[name] for new, name in shown.items()},
        **{node.score: found[node.score]},
    ).op()
