"""Moves filters, sorts and limits below projections whose calls they do not need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.nodes import RerankedScore
from barbule.planner.lineage import calls_in, each_relation, is_expensive, rebuild, repoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["pushdown_clauses"]

# Values that depend on the set of rows. Unnest is not a window, but it does not preserve rows one
# for one either, and a score of a query's best rows is computed over its rows.
_ROW_SENSITIVE = (ops.WindowFunction, ops.Analytic, ops.RowID, ops.Unnest, RerankedScore)


def pushdown_clauses(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Move filters, sorts and limits below a projection whose calls they do not need.

    Filters without calls also move below filters and sorts with calls, and limits below any
    projection, so that they reach the sort that they belong to.
    """

    def push(relation: ops.Relation) -> ops.Relation:
        if isinstance(relation, ops.Filter | ops.Sort | ops.Limit):
            return _pushed_down(relation)
        return relation

    return each_relation(root, push)


def _pushed_down(clause: ops.Relation) -> ops.Relation:
    if _goes_before(clause, clause.parent):
        return rebuild(clause.parent, _pushed_down(rebuild(clause, clause.parent.parent)))
    project = clause.parent
    if not isinstance(project, ops.Project):
        return clause
    columns = project.values.values()
    if not isinstance(clause, ops.Limit) and not any(map(is_expensive, columns)):
        return clause
    values = _clause_values(clause)
    names = {field.name for value in values for field in calls_in(value, ops.Field)}
    if any(is_expensive(project.values[name]) for name in names):
        return clause
    if any(map(_is_row_sensitive, values)):
        return clause
    if any(map(_is_row_sensitive, columns)):
        return clause  # a window reads other rows if the filter comes first

    def inline(value: ops.Value) -> ops.Value:
        fields = {ops.Field(project, name): project.values[name] for name in names}
        return value.replace(fields, filter=ops.Value)

    parent = _pushed_down(_below_projection(clause, project, inline))
    return ops.Project(
        parent,
        {name: repoint(value, project.parent, parent) for name, value in project.values.items()},
    )


def _clause_values(relation: ops.Relation) -> list[ops.Value]:
    return [value for name in ("predicates", "keys") for value in getattr(relation, name, ())]


def _goes_before(relation: ops.Relation, parent: ops.Relation) -> bool:
    """Whether a filter is cheaper than the filter or sort that is its parent."""
    if not isinstance(relation, ops.Filter) or not isinstance(parent, ops.Filter | ops.Sort):
        return False
    values = [*relation.predicates, *_clause_values(parent)]
    return (
        any(map(is_expensive, _clause_values(parent)))
        and not any(map(is_expensive, relation.predicates))
        and not any(map(_is_row_sensitive, values))
    )


def _below_projection(
    clause: ops.Relation, project: ops.Project, inline: Callable[[ops.Value], ops.Value]
) -> ops.Relation:
    if isinstance(clause, ops.Filter):
        return ops.Filter(project.parent, [inline(predicate) for predicate in clause.predicates])
    if isinstance(clause, ops.Sort):
        return ops.Sort(project.parent, [inline(key) for key in clause.keys])
    return ops.Limit(project.parent, clause.n, clause.offset)


def _is_row_sensitive(value: ops.Value) -> bool:
    return bool(value.find(_ROW_SENSITIVE, filter=ops.Value))
