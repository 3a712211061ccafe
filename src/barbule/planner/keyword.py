"""Keyword scores become a column that a stage gives.

Owns that rewrite. The stage knows the rows in which a word of the query occurs, by identity; they
are joined to whatever relation asks for the score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import ExpressionError, UnsupportedError
from barbule.nodes import KeywordScore, ManagedTable, ScoreRank, TableScore
from barbule.planner.lineage import (
    calls_in,
    each_relation,
    expose,
    fresh_name,
    hide,
    origin,
    own_values,
    rebuild,
    repoint,
)
from barbule.planner.plan import HIT, SCORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.planner.rules import Scope

__all__ = ["keyword_scores", "table_scores"]


def keyword_scores(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Join the scores of a keyword search to the relation that asks for them."""

    def change(node: ops.Relation) -> ops.Relation:
        return _with_scores(node, KeywordScore, asked)

    def asked(score: KeywordScore, leaf: ManagedTable, column: str) -> ops.Relation:
        return scope.keyword_scores(leaf, column, score.query)

    return each_relation(root, change)


def table_scores(root: ops.Relation, scope: Scope) -> ops.Relation:  # noqa: ARG001 - one signature
    """Compute scores that depend on all rows over the whole table, and join them."""

    def change(node: ops.Relation) -> ops.Relation:
        return _with_scores(node, TableScore, computed)

    def computed(score: TableScore, leaf: ManagedTable, column: str) -> ops.Relation:
        whole = leaf.copy(hidden=True)
        field = {score.arg: ops.Field(whole, column)}
        value = score.value.replace(field, filter=ops.Value).replace(_ranked, filter=ops.Value)
        scores = ops.Project(whole, {HIT: ops.Field(whole, RID), SCORE: value})
        return change(scores)  # one such score may be made of another

    return each_relation(root, change)


def _ranked(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
    """Compute the place of a row by a window; missing scores come last, also where large."""
    rebuilt: Any = node.__recreate__(kwargs) if kwargs else node
    if not isinstance(rebuilt, ScoreRank):
        return rebuilt
    keys = (
        ops.SortKey(ops.IsNull(rebuilt.arg), ascending=True),
        ops.SortKey(rebuilt.arg, ascending=False),
    )
    return ops.WindowFunction(ops.MinRank(), order_by=keys)


def _with_scores(
    node: Any, kind: type[Any], scores_of: Callable[[Any, ManagedTable, str], ops.Relation]
) -> ops.Relation:
    asked = dict.fromkeys(each for value in own_values(node) for each in calls_in(value, kind))
    inner = {each for score in asked for part in _inside(score) for each in calls_in(part, kind)}
    found = [score for score in asked if score not in inner]
    if not found:
        return node
    parent = getattr(node, "parent", None)
    place = None
    if parent is not None and _is_sorted(parent):  # a join need not keep the order
        place = fresh_name("bb_place", parent.schema)
        number = ops.WindowFunction(ops.RowNumber())
        parent = ops.Project(parent, {**parent.fields, place: number})
    named: dict[Any, str] = {}
    for score in found:
        column = origin(score.arg)
        if column is None:
            raise ExpressionError(
                "a search is asked of a value that is no column of a table.",
                hint="Ask it of a column: t.text.search(...).",
            )
        path = repoint(score.arg, node.parent, parent) if parent else score.arg
        above = parent and expose(parent, column[0], RID, path)
        if not above:
            raise UnsupportedError(
                f"a search cannot be asked inside {type(node).__name__}.",
                hint="Compute its score with mutate() first.",
            )
        parent, named[score] = _joined(*above, scores_of(score, *column))
    if place is not None:
        parent = ops.Sort(parent, [ops.SortKey(ops.Field(parent, place))])
    replaced: dict[ops.Node, ops.Node] = {
        score: _score(score, node.parent, parent, name) for score, name in named.items()
    }
    rebuilt = rebuild(node, parent, lambda value: value.replace(replaced, filter=ops.Value))
    return hide(rebuilt, node.schema.names)


def _inside(score: ops.Value) -> tuple[ops.Value, ...]:
    return tuple(each for each in score.__children__ if isinstance(each, ops.Value))


def _is_sorted(relation: ops.Relation) -> bool:
    while isinstance(relation, ops.Project | ops.Filter | ops.DropColumns | ops.Limit):
        relation = relation.parent
    return isinstance(relation, ops.Sort)


def _joined(relation: ops.Relation, rid: str, scores: ops.Relation) -> tuple[ops.Relation, str]:
    """Join scores to a relation that shows the identities of rows as `rid`."""
    left, right = ir.Table(relation), ir.Table(scores)
    name = fresh_name(SCORE, relation.schema)
    joined = left.left_join(right, left[rid] == right[HIT])
    columns = {column: left[column] for column in relation.schema.names}
    return joined.select(**columns, **{name: right[SCORE]}).op(), name


def _score(asked: Any, old: ops.Relation, new: ops.Relation, name: str) -> ops.Value:
    """Say 0 where no word occurs, and nothing where there is no text."""
    score = ops.Field(new, name)
    if isinstance(asked, TableScore):
        return score
    text = repoint(asked.arg, old, new)
    nothing = ibis.literal(None, dt.float64).op()
    some = ops.Coalesce((score, ops.Literal(0.0, dt.float64)))
    return ops.IfElse(ops.IsNull(text), nothing, some)
