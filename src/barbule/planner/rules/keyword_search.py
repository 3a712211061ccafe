"""Scores of a search become columns.

Owns that rewrite. A stage knows the rows in which a word of the query occurs, by identity; they
are joined to whatever relation asks for the score, as scores over a whole table are. What is
scored anew is computed over the rows of the relation itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import ExpressionError, UnsupportedError
from barbule.nodes import (
    KeywordScore,
    ManagedTable,
    RerankedScore,
    RowRank,
    ScoreRank,
    TableScore,
)
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

    from barbule.planner.rules.rewrites import Scope

__all__ = ["keyword_scores", "table_scores"]

Place: TypeAlias = "tuple[ManagedTable, str]"
Added: TypeAlias = "tuple[ops.Relation, str]"
Made: TypeAlias = "dict[ops.Value, dict[ops.Relation, str]]"


def keyword_scores(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Join the scores of a keyword search to the relation that asks for them."""

    def add(score: KeywordScore, place: Place, parent: ops.Relation, rid: str) -> Added:
        return _joined(parent, rid, scope.keyword_scores(*place, score.query))

    return each_relation(root, lambda node: _with_scores(node, KeywordScore, add))


def table_scores(root: ops.Relation, scope: Scope) -> ops.Relation:  # noqa: ARG001 - one signature
    """Compute scores that depend on other rows.

    Those of a table are computed over all of its rows and joined, whatever query reads them. What
    is scored anew is computed right below the first relation that asks for it, over the rows
    there; those above read it from there, so that no row is asked for twice.
    """
    made: Made = {}

    def change(node: ops.Relation) -> ops.Relation:
        node = _with_scores(node, RerankedScore, reranked, made)
        return _with_scores(node, TableScore, computed)

    def reranked(score: RerankedScore, _place: Place, parent: ops.Relation, rid: str) -> Added:
        name = fresh_name(SCORE, parent.schema)
        value = _with_windows(score.value, RowRank, _row_rank(ops.Field(parent, rid)))
        return change(ops.Project(parent, {**parent.fields, name: value})), name

    def computed(score: TableScore, place: Place, parent: ops.Relation, rid: str) -> Added:
        leaf, column = place
        whole = leaf.copy(hidden=True)
        value = score.value.replace({score.arg: ops.Field(whole, column)}, filter=ops.Value)
        value = _with_windows(value, ScoreRank, _score_rank)
        scores = ops.Project(whole, {HIT: ops.Field(whole, RID), SCORE: value})
        return _joined(parent, rid, change(scores))  # one such score may be made of another

    return each_relation(root, change)


def _with_windows(
    value: ops.Value, kind: type[Any], window: Callable[[ops.Value], ops.Value]
) -> ops.Value:
    """Compute places by windows."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt: Any = node.__recreate__(kwargs) if kwargs else node
        return window(rebuilt.arg) if isinstance(rebuilt, kind) else rebuilt

    return value.replace(replace, filter=ops.Value)


def _score_rank(score: ops.Value) -> ops.Value:
    return ops.WindowFunction(ops.MinRank(), order_by=_best_first(score))


def _row_rank(rid: ops.Value) -> Callable[[ops.Value], ops.Value]:
    def window(score: ops.Value) -> ops.Value:
        # A join may show a row of the table several times: it has one place all the same.
        keys = (*_best_first(score), ops.SortKey(rid, ascending=True))
        return ops.WindowFunction(ops.DenseRank(), order_by=keys)

    return window


def _best_first(score: ops.Value) -> tuple[ops.SortKey, ...]:
    """Order by a score; missing scores come last, also where large."""
    return (
        ops.SortKey(ops.IsNull(score), ascending=True),
        ops.SortKey(score, ascending=False),
    )


def _with_scores(
    node: Any,
    kind: type[Any],
    add: Callable[[Any, Place, ops.Relation, str], Added],
    made: Made | None = None,
) -> ops.Relation:
    """Let a relation read its scores from columns that `add` gives to the one below.

    Parameters
    ----------
    add
        Takes a score over the relation below, the table and column that it is of, that relation,
        and the name of the identities of rows there.
    made
        Which relations show a score already, where those above are to read it from them.
    """
    asked = dict.fromkeys(each for value in own_values(node) for each in calls_in(value, kind))
    inner = {each for score in asked for part in _inside(score) for each in calls_in(part, kind)}
    found = [score for score in asked if score not in inner]
    if not found:
        return node
    parent = getattr(node, "parent", None)
    place = None
    if parent is not None and _is_sorted(parent):  # neither joins nor windows need keep the order
        place = fresh_name("bb_place", parent.schema)
        number = ops.WindowFunction(ops.RowNumber())
        parent = ops.Project(parent, {**parent.fields, place: number})
    named: dict[Any, str] = {}
    shown: list[dict[ops.Relation, str]] = []
    for score in found:
        column = origin(score.arg)
        if column is None:
            raise ExpressionError(
                "a search is asked of a value that is no column of a table.",
                hint="Ask it of a column: t.text.search(...).",
            )
        path = repoint(score.arg, node.parent, parent) if parent else score.arg
        if made is not None:
            shown.append(made.setdefault(_over_leaf(score, column), {}))
            known = parent and expose(parent, column[0], SCORE, path, shown[-1])
            if known:
                parent, named[score] = known
                continue
        above = parent and expose(parent, column[0], RID, path)
        if not above:
            raise UnsupportedError(
                f"a search cannot be asked inside {type(node).__name__}.",
                hint="Compute its score with mutate() first.",
            )
        parent, rid = above
        parent, named[score] = add(repoint(score, node.parent, parent), column, parent, rid)
    for relations, name in zip(shown, named.values(), strict=False):
        relations[parent] = name
    if place is not None:
        parent = ops.Sort(parent, [ops.SortKey(ops.Field(parent, place))])
    replaced: dict[ops.Node, ops.Node] = {
        score: _score(score, node.parent, parent, name) for score, name in named.items()
    }
    rebuilt = rebuild(node, parent, lambda value: value.replace(replaced, filter=ops.Value))
    return hide(rebuilt, node.schema.names)


def _over_leaf(score: Any, place: Place) -> ops.Value:
    """Return what is equal for one score, whichever relation it is read through."""
    leaf, column = place
    field = ops.Field(leaf.copy(hidden=True), column)
    return score.value.replace({score.arg: field}, filter=ops.Value)


def _inside(score: ops.Value) -> tuple[ops.Value, ...]:
    return tuple(each for each in score.__children__ if isinstance(each, ops.Value))


def _is_sorted(relation: ops.Relation) -> bool:
    while isinstance(relation, ops.Project | ops.Filter | ops.DropColumns | ops.Limit):
        relation = relation.parent
    return isinstance(relation, ops.Sort)


def _joined(relation: ops.Relation, rid: str, scores: ops.Relation) -> Added:
    """Join scores to a relation that shows the identities of rows as `rid`."""
    left, right = ir.Table(relation), ir.Table(scores)
    name = fresh_name(SCORE, relation.schema)
    joined = left.left_join(right, left[rid] == right[HIT])
    columns = {column: left[column] for column in relation.schema.names}
    return joined.select(**columns, **{name: right[SCORE]}).op(), name


def _score(asked: Any, old: ops.Relation, new: ops.Relation, name: str) -> ops.Value:
    """Say 0 where no word occurs, and nothing where there is no text."""
    score = ops.Field(new, name)
    if not isinstance(asked, KeywordScore):
        return score
    text = repoint(asked.arg, old, new)
    nothing = ibis.literal(None, dt.float64).op()
    some = ops.Coalesce((score, ops.Literal(0.0, dt.float64)))
    return ops.IfElse(ops.IsNull(text), nothing, some)
