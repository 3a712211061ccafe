"""The rewrites of the planner: a tuple of small pure functions from tree to tree.

Owns the order of the rules. Each takes the root relation and what the planner knows (`Scope`)
and returns a tree of the same meaning. Calls end up in relations with one parent, where staging
finds them; similarity becomes arithmetic over stored vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import UnsupportedError
from barbule.nodes import (
    FunctionCall,
    KeywordScore,
    ManagedTable,
    NearestRows,
    RerankedScore,
    Similarity,
    StoredVector,
    TableScore,
)
from barbule.planner.companion_columns import BESIDE, errors_of_cells
from barbule.planner.lineage import (
    calls_in,
    changes_row_count,
    each_relation,
    expose,
    fresh_name,
    hide,
    is_unsteady,
    origin,
    own_values,
    prune,
    rebuild,
    repoint,
    trace,
    with_rid,
)
from barbule.planner.plan import SCORE
from barbule.planner.rules.common_calls import share_calls
from barbule.planner.rules.keyword_search import keyword_scores, table_scores
from barbule.planner.rules.limit_pushdown import sort_before_calls
from barbule.planner.rules.similarity import IndexedColumn, similarity_to_vectors, vector_of
from barbule.planner.rules.similarity_join import nearest_by_scan, nearest_in_batches

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RULES", "Scope", "apply_rules", "identities", "is_whole"]


_CALLS: Any = (
    FunctionCall,
    KeywordScore,
    RerankedScore,
    Similarity,
    StoredVector,
    TableScore,
)


class Scope(Protocol):
    """What the rules may ask.

    Attributes
    ----------
    scored
        The relations that show how similar their rows are to the vector of a query, by index
        and vector, and the names of the columns.
    """

    scored: dict[tuple[int, str, ops.Value], dict[ops.Relation, str]]

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column, or raise if there is none."""

    def note(self, text: str) -> None:
        """Have the plan tell its readers something."""

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with what was recorded of media, if it has any."""

    def shown_of(self, leaf: ManagedTable, column: str) -> tuple[ManagedTable, str] | None:
        """Return which column of its base a view shows as a column, unchanged."""

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Make the backend's similarity of two vectors."""

    def candidates(
        self, index: IndexedColumn, vector: ops.Value, count: int, rows: ops.Relation | None
    ) -> ops.Relation:
        """Make the relation of the identities of the nearest rows, in the column `_rid`."""

    def constant(self, value: ops.Value, index: IndexedColumn) -> ops.Value:
        """Have a constant that is searched for computed once; give the value that reads it."""

    def materialised(self, relation: ops.Relation) -> ops.Relation:
        """Have the rows of a relation computed once; give the relation that reads them."""

    def pairs(
        self,
        index: IndexedColumn,
        queries: ops.Relation,
        vector: str,
        count: int,
        rows: ops.Relation | None,
    ) -> ops.Relation:
        """Make the relation of which row is near to which query, by `bb_place` and `bb_hit`."""

    def keyword_scores(self, leaf: ManagedTable, column: str, query: str) -> ops.Relation:
        """Make the relation of the rows in which a query's words occur, with their scores."""


def _has_calls(value: ops.Value) -> bool:
    return bool(calls_in(value, _CALLS))


def split_filters(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Filter by what needs no call first, and by each call only what the others leave.

    What the call ledger keeps, as it keeps what models answer, comes last.
    """

    def change(node: ops.Relation) -> ops.Relation:
        if not isinstance(node, ops.Filter):
            return node
        groups: list[list[ops.Value]] = [[]]
        for predicate in sorted(node.predicates, key=_dearness):
            if calls_in(predicate) or (
                _has_calls(predicate) and not any(map(_has_calls, groups[-1]))
            ):
                groups.append([])
            groups[-1].append(predicate)
        groups = [group for group in groups if group]
        if len(groups) == 1:
            return node
        inner = node.parent
        for group in groups:
            inner = ops.Filter(inner, [repoint(each, node.parent, inner) for each in group])
        return inner

    return each_relation(root, change)


def _dearness(predicate: ops.Value) -> int:
    calls = calls_in(predicate)
    return 2 + any(call.cached for call in calls) if calls else int(_has_calls(predicate))


def push_down(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Move filters, sorts and limits below a projection whose calls they do not need.

    Filters without calls also go below filters and sorts with calls, and limits below any
    projection, so that they meet the sort that they belong to.
    """

    def change(node: ops.Relation) -> ops.Relation:
        if isinstance(node, ops.Filter | ops.Sort | ops.Limit):
            return _push(node)
        return node

    return each_relation(root, change)


def _push(node: ops.Relation) -> ops.Relation:
    if _is_cheaper(node, node.parent):
        return rebuild(node.parent, _push(rebuild(node, node.parent.parent)))
    project = node.parent
    if not isinstance(project, ops.Project):
        return node
    if not isinstance(node, ops.Limit) and not any(map(_has_calls, project.values.values())):
        return node
    own = _conditions(node)
    used = {field.name for value in own for field in calls_in(value, ops.Field)}
    if any(_has_calls(project.values[name]) for name in used) or any(map(_has_window, own)):
        return node
    if any(map(_has_window, project.values.values())):
        return node  # a window sees other rows when the filter comes first

    def inline(value: ops.Value) -> ops.Value:
        fields = {ops.Field(project, name): project.values[name] for name in used}
        return value.replace(fields, filter=ops.Value)

    below = _push(_moved(node, project, inline))
    return ops.Project(
        below,
        {name: repoint(value, project.parent, below) for name, value in project.values.items()},
    )


def _conditions(node: ops.Relation) -> list[ops.Value]:
    return [value for name in ("predicates", "keys") for value in getattr(node, name, ())]


def _is_cheaper(node: ops.Relation, below: ops.Relation) -> bool:
    """Whether a filter should come before the filter or sort below it."""
    if not isinstance(node, ops.Filter) or not isinstance(below, ops.Filter | ops.Sort):
        return False
    values = [*node.predicates, *_conditions(below)]
    return (
        any(map(_has_calls, _conditions(below)))
        and not any(map(_has_calls, node.predicates))
        and not any(map(_has_window, values))
    )


def _moved(
    node: ops.Relation, project: ops.Project, inline: Callable[[ops.Value], ops.Value]
) -> ops.Relation:
    if isinstance(node, ops.Filter):
        return ops.Filter(project.parent, [inline(each) for each in node.predicates])
    if isinstance(node, ops.Sort):
        return ops.Sort(project.parent, [inline(each) for each in node.keys])
    return ops.Limit(project.parent, node.n, node.offset)


def _has_window(value: ops.Value) -> bool:
    # Unnest is none, but rows are not one for one around it either; what is scored anew depends
    # on which rows there are.
    kinds = (ops.WindowFunction, ops.Analytic, ops.RowID, ops.Unnest, RerankedScore)
    return bool(value.find(kinds, filter=ops.Value))


def calls_out_of_joins(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Compute calls in join predicates before the join, those in its columns after it."""

    def change(node: ops.Relation) -> ops.Relation:
        if not isinstance(node, ops.JoinChain):
            return node
        return _values_after_join(_predicates_before_join(node))

    return each_relation(root, change)


def _values_after_join(join: ops.JoinChain) -> ops.Relation:
    if not any(map(_has_calls, join.values.values())):
        return join
    raw: dict[ops.Field, str] = {}
    for value in join.values.values():
        for field in calls_in(value, ops.Field):
            raw.setdefault(field, f"j{len(raw)}")
    inner = join.copy(values={name: field for field, name in raw.items()})
    fields = {field: ops.Field(inner, name) for field, name in raw.items()}
    return ops.Project(
        inner,
        {name: value.replace(fields, filter=ops.Value) for name, value in join.values.items()},
    )


def _predicates_before_join(join: ops.JoinChain) -> ops.JoinChain:
    dear = {
        call
        for link in join.rest
        for predicate in link.predicates
        for call in calls_in(predicate, _CALLS)
    }
    for call in dear:
        sides = call.relations
        if len(sides) != 1:
            raise UnsupportedError(
                f"{call.name} takes columns of both sides of a join in its condition.",
                hint="Join on plain columns first and filter by the call afterwards.",
            )
        (side,) = sides
        name = fresh_name("call", side.schema)
        parent = ops.Project(
            side.parent,
            {
                **side.parent.fields,
                name: call.replace(
                    {
                        field: ops.Field(side.parent, field.name)
                        for field in calls_in(call, ops.Field)
                    }
                ),
            },
        )
        fresh = side.copy(parent=parent)

        def move(node: ops.Node, kwargs: Any, old: Any = side, new: Any = fresh) -> ops.Node:
            if node == call:  # noqa: B023 - used within the iteration
                return ops.Field(new, name)  # noqa: B023 - used within the iteration
            if isinstance(node, ops.Field) and node.rel == old:
                return ops.Field(new, node.name)
            if node == old:
                return new
            return node.__recreate__(kwargs) if kwargs else node

        return _predicates_before_join(join.replace(move))
    return join


def calls_out_of_aggregates(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Aggregate first and call a function of an aggregate afterwards."""

    def change(node: ops.Relation) -> ops.Relation:
        if not isinstance(node, ops.Aggregate):
            return node
        above = {
            call
            for metric in node.metrics.values()
            for call in calls_in(metric)
            if call.find(ops.Reduction, filter=ops.Value)
        }
        if not above:
            return node
        return _call_after_aggregate(node)

    return each_relation(root, change)


def _call_after_aggregate(node: ops.Aggregate) -> ops.Relation:
    reductions: dict[ops.Value, str] = {}
    for metric in node.metrics.values():
        for reduction in metric.find(ops.Reduction, filter=ops.Value):
            reductions.setdefault(reduction, f"m{len(reductions)}")
    inner = ops.Aggregate(
        node.parent, node.groups, {name: value for value, name in reductions.items()}
    )
    fields = {value: ops.Field(inner, name) for value, name in reductions.items()}
    groups = {name: ops.Field(inner, name) for name in node.groups}
    metrics = {
        name: metric.replace(fields, filter=ops.Value) for name, metric in node.metrics.items()
    }
    return ops.Project(inner, {**groups, **metrics})


def search_indexes(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Find the nearest rows first, by the index or in memory, where the latest are searched.

    Filters and joins that call nothing say which rows qualify. Everything else is scanned.
    """

    def change(node: ops.Relation) -> ops.Relation:
        found = _nearest(node)
        if found is None:
            return node
        sort, similarity, count = found
        place = origin(similarity.arg)
        if place is None:
            return node
        leaf, column = place
        index = scope.index_of(leaf, column, similarity.index)
        if not index.ready:
            return node
        below = _with_identities(sort, leaf, similarity)
        if below is None:
            return node
        exposed, rid = below
        rows = None if is_whole(sort.parent, leaf) else identities(exposed, rid)
        if rows is not None and rows.find(_CALLS):
            return node
        vector = vector_of(index, similarity.query)
        found = scope.candidates(index, vector, count, rows)
        known = scope.scored.setdefault((index.table_id, index.name, vector), {})
        if exposed.find(ops.JoinChain):  # a table may be on both sides
            replaced, name = _joined_with(exposed, rid, found, sort.parent.schema.names)
            known[replaced] = name
        else:
            hidden = leaf.copy(hidden=True)
            near, name = _joined_with(hidden, RID, found, hidden.schema.names)
            known[near] = name
            replaced = sort.parent.replace({leaf: near})
        shown = rebuild(sort, replaced)
        # A column may have been dropped since the query was written, which need not show it.
        below = hide(shown, tuple(name for name in sort.schema.names if name in shown.schema))
        return ops.Limit(below, node.n, node.offset)

    return each_relation(root, change)


def _nearest(node: ops.Relation) -> tuple[ops.Sort, Similarity, int] | None:
    """Recognise `order_by(similarity to a constant, asc=False).limit(k)`."""
    if not isinstance(node, ops.Limit) or not isinstance(node.parent, ops.Sort):
        return None
    if not isinstance(node.n, int) or not isinstance(node.offset, int):
        return None
    key, *further = node.parent.keys
    if further:  # they decide among rows that are equally near, which an index cannot
        return None
    similarity = trace(key.arg)
    if not isinstance(similarity, Similarity) or key.ascending or similarity.query.relations:
        return None
    return node.parent, similarity, node.n + node.offset


def _joined_with(
    relation: ops.Relation, rid: str, found: ops.Relation, names: tuple[str, ...]
) -> tuple[ops.Relation, str]:
    """Keep the rows that were found, with how similar they are, under the name returned."""
    left, right = ir.Table(relation), ir.Table(found)
    score = fresh_name(SCORE, relation.schema)
    joined = left.inner_join(right, left[rid] == right[RID])
    columns = {name: left[name] for name in names}
    return joined.select(**columns, **{score: right[SCORE]}).op(), score


def _with_identities(
    sort: ops.Sort, leaf: ManagedTable, similarity: Similarity
) -> tuple[ops.Relation, str] | None:
    """Show the identities of the rows that are sorted, under a name; None where that is unknown."""
    if is_unsteady(sort.parent):  # rows that qualify now may not do so when they are read
        return None
    linear = with_rid(sort.parent)
    if linear is not None:
        return linear, RID
    if sort.keys[0].arg != similarity:  # it was computed further below
        return None
    if sort.parent.find((ops.Limit, ops.WindowFunction)):
        return None
    if any(link.how != "inner" for each in sort.parent.find(ops.JoinChain) for link in each.rest):
        return None
    return expose(sort.parent, leaf, RID, similarity.arg)


def identities(relation: ops.Relation, rid: str) -> ops.Relation:
    """Read nothing but the identities of rows, in no order."""
    while isinstance(relation, ops.Sort):
        relation = relation.parent
    return prune(ops.Project(relation, {RID: ops.Field(relation, rid)}))


def is_whole(relation: ops.Relation, leaf: ManagedTable) -> bool:
    """Whether a relation shows all rows of a leaf, one for one."""
    while isinstance(relation, ops.Project | ops.DropColumns | ops.Sort):
        if any(map(changes_row_count, own_values(relation))):
            return False
        relation = relation.parent
    return relation == leaf


RULES: tuple[Callable[[ops.Relation, Scope], ops.Relation], ...] = (
    nearest_by_scan,
    split_filters,
    push_down,
    calls_out_of_joins,
    table_scores,
    search_indexes,
    similarity_to_vectors,
    keyword_scores,
    errors_of_cells,
    calls_out_of_aggregates,
    nearest_in_batches,
    share_calls,
    sort_before_calls,
)


def apply_rules(root: ops.Relation, scope: Scope) -> ops.Relation:
    """Apply all rules, in their order."""
    if not root.find((*_CALLS, *BESIDE, NearestRows)):
        return root
    for rule in RULES:
        root = rule(root, scope)
    return root
