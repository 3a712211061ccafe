"""Converts the scores of a search to columns.

Owns two rewrites. A stage holds the rows in which a word of the query occurs, by row id; they are
joined to the relation that reads the score, as are scores over an entire table. A score of the best
rows only is computed over the rows of the relation itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

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
from barbule.planner.hidden_columns import expose
from barbule.planner.lineage import (
    calls_in,
    each_relation,
    fresh_name,
    hide,
    origin,
    own_values,
    rebuild,
    repoint,
)
from barbule.planner.stages import HIT, SCORE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["compute_table_scores", "join_keyword_scores"]

Score: TypeAlias = KeywordScore | RerankedScore | TableScore
ColumnOrigin: TypeAlias = "tuple[ManagedTable, str]"
# A relation that holds a score, and the name of its column.
WithScore: TypeAlias = "tuple[ops.Relation, str]"
# Takes a score over the relation below, its column, that relation, and the name of its row ids.
AddScore: TypeAlias = "Callable[[Any, ColumnOrigin, ops.Relation, str], WithScore]"
ScoreColumns: TypeAlias = "dict[ops.Value, dict[ops.Relation, str]]"


def join_keyword_scores(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Join the scores of a keyword search to the relation that reads them."""

    def add_score(
        score: KeywordScore, column_origin: ColumnOrigin, parent: ops.Relation, rid: str
    ) -> WithScore:
        return _join_scores(parent, rid, builder.keyword_scores(*column_origin, score.query))

    return each_relation(root, lambda node: _with_scores(node, KeywordScore, add_score))


def compute_table_scores(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Compute scores that depend on other rows.

    Scores of a table are computed over all of its rows and joined, whichever query reads them. A
    reranked score is computed directly below the first relation that reads it, over the rows there;
    relations above read it from there, so that no row is scored twice.
    """
    reranked_columns: ScoreColumns = {}

    def compute(relation: ops.Relation) -> ops.Relation:
        relation = _with_scores(relation, RerankedScore, add_reranked, reranked_columns)
        return _with_scores(relation, TableScore, add_table_score)

    def add_reranked(
        score: RerankedScore, _origin: ColumnOrigin, parent: ops.Relation, rid: str
    ) -> WithScore:
        name = fresh_name(SCORE, parent.schema)
        value = _with_windows(score.value, RowRank, _row_rank(ops.Field(parent, rid)))
        return compute(ops.Project(parent, {**parent.fields, name: value})), name

    def add_table_score(
        score: TableScore, column_origin: ColumnOrigin, parent: ops.Relation, rid: str
    ) -> WithScore:
        leaf, column = column_origin
        table = leaf.copy(hidden=True)
        value = score.value.replace({score.arg: ops.Field(table, column)}, filter=ops.Value)
        value = _with_windows(value, ScoreRank, _score_rank)
        scores = ops.Project(table, {HIT: ops.Field(table, RID), SCORE: value})
        return _join_scores(parent, rid, compute(scores))  # scores may contain others

    return each_relation(root, compute)


def _with_windows(
    value: ops.Value, rank: type[ops.Value], window: Callable[[ops.Value], ops.Value]
) -> ops.Value:
    """Compute ranks by windows."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = node.__recreate__(kwargs) if kwargs else node
        return window(rebuilt.arg) if isinstance(rebuilt, rank) else rebuilt

    return value.replace(replace, filter=ops.Value)


def _score_rank(score: ops.Value) -> ops.Value:
    return ops.WindowFunction(ops.MinRank(), order_by=_best_first(score))


def _row_rank(rid: ops.Value) -> Callable[[ops.Value], ops.Value]:
    def window(score: ops.Value) -> ops.Value:
        # A join may return a row of the table several times: it has one rank all the same.
        keys = (*_best_first(score), ops.SortKey(rid, ascending=True))
        return ops.WindowFunction(ops.DenseRank(), order_by=keys)

    return window


def _best_first(score: ops.Value) -> tuple[ops.SortKey, ...]:
    """Order by a score; missing scores come last, also in descending order."""
    return (
        ops.SortKey(ops.IsNull(score), ascending=True),
        ops.SortKey(score, ascending=False),
    )


def _with_scores(
    relation: ops.Relation,
    kind: type[Score],
    add_score: AddScore,
    score_columns: ScoreColumns | None = None,
) -> ops.Relation:
    """Let a relation read its scores from columns that `add_score` adds to the one below.

    Parameters
    ----------
    score_columns
        The relations that already hold a score, if relations above are to read it from them.
    """
    scores = _outermost_scores(relation, kind)
    if not scores:
        return relation
    parent = getattr(relation, "parent", None)
    row_number = None
    if parent is not None and _is_sorted(parent):  # neither joins nor windows keep the order
        row_number = fresh_name("bb_place", parent.schema)
        number = ops.WindowFunction(ops.RowNumber())
        parent = ops.Project(parent, {**parent.fields, row_number: number})
    names: dict[Score, str] = {}
    shared_columns: list[dict[ops.Relation, str]] = []
    for score in scores:
        column_origin = _searched_column(score)
        path = repoint(score.arg, relation.parent, parent) if parent else score.arg
        if score_columns is not None:
            key = _over_leaf(score, column_origin)
            shared_columns.append(score_columns.setdefault(key, {}))
            shared = parent and expose(parent, column_origin[0], SCORE, path, shared_columns[-1])
            if shared:
                parent, names[score] = shared
                continue
        exposed = parent and expose(parent, column_origin[0], RID, path)
        if not exposed:
            raise UnsupportedError(
                f"a search cannot be used inside {type(relation).__name__}.",
                hint="Compute its score with mutate() first.",
            )
        parent, rid = exposed
        score_below = repoint(score, relation.parent, parent)
        parent, names[score] = add_score(score_below, column_origin, parent, rid)
    for columns, name in zip(shared_columns, names.values(), strict=False):
        columns[parent] = name
    if row_number is not None:
        parent = ops.Sort(parent, [ops.SortKey(ops.Field(parent, row_number))])
    replacements: dict[ops.Node, ops.Node] = {
        score: _score_value(score, relation.parent, parent, name) for score, name in names.items()
    }
    rebuilt = rebuild(relation, parent, lambda value: value.replace(replacements, filter=ops.Value))
    return hide(rebuilt, relation.schema.names)


def _outermost_scores(relation: ops.Relation, kind: type[Score]) -> list[Score]:
    """List the scores of a type that a relation reads, except those inside others."""
    scores = dict.fromkeys(
        score for value in own_values(relation) for score in calls_in(value, kind)
    )
    inner_scores = {
        inner
        for score in scores
        for child in score.__children__
        if isinstance(child, ops.Value)
        for inner in calls_in(child, kind)
    }
    return [score for score in scores if score not in inner_scores]


def _searched_column(score: Score) -> ColumnOrigin:
    column_origin = origin(score.arg)
    if column_origin is None:
        raise ExpressionError(
            "search() needs a column of a table.",
            hint="Call it on a column: t.text.search(...).",
        )
    return column_origin


def _over_leaf(score: RerankedScore, column_origin: ColumnOrigin) -> ops.Value:
    """Return a key that is equal for one score, whichever relation it is read through."""
    leaf, column = column_origin
    field = ops.Field(leaf.copy(hidden=True), column)
    return score.value.replace({score.arg: field}, filter=ops.Value)


def _is_sorted(relation: ops.Relation) -> bool:
    while isinstance(relation, ops.Project | ops.Filter | ops.DropColumns | ops.Limit):
        relation = relation.parent
    return isinstance(relation, ops.Sort)


def _join_scores(relation: ops.Relation, rid: str, scores: ops.Relation) -> WithScore:
    """Join scores to a relation that holds the row ids as `rid`."""
    left, right = ir.Table(relation), ir.Table(scores)
    name = fresh_name(SCORE, relation.schema)
    joined = left.left_join(right, left[rid] == right[HIT])
    columns = {column: left[column] for column in relation.schema.names}
    return joined.select(**columns, **{name: right[SCORE]}).op(), name


def _score_value(score: Score, old: ops.Relation, new: ops.Relation, name: str) -> ops.Value:
    """Read a score: 0 if no keyword occurs, and missing if there is no text."""
    column = ops.Field(new, name)
    if not isinstance(score, KeywordScore):
        return column
    text = repoint(score.arg, old, new)
    missing = ibis.literal(None, dt.float64).op()
    score_or_zero = ops.Coalesce((column, ops.Literal(0.0, dt.float64)))
    return ops.IfElse(ops.IsNull(text), missing, score_or_zero)
