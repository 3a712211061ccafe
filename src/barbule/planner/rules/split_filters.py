"""Splits filters by cost: cheap predicates first, each expensive one on the remaining rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.planner.lineage import calls_in, each_relation, is_expensive, repoint

if TYPE_CHECKING:
    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["split_filters"]


def split_filters(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Apply predicates without calls first, and each call only to the remaining rows.

    Calls whose answers are in the call ledger, such as calls of models, come last.
    """

    def split(relation: ops.Relation) -> ops.Relation:
        if not isinstance(relation, ops.Filter):
            return relation
        groups: list[list[ops.Value]] = [[]]
        for predicate in sorted(relation.predicates, key=_cost):
            if calls_in(predicate) or (
                is_expensive(predicate) and not any(map(is_expensive, groups[-1]))
            ):
                groups.append([])
            groups[-1].append(predicate)
        groups = [group for group in groups if group]
        if len(groups) == 1:
            return relation
        inner = relation.parent
        for group in groups:
            predicates = [repoint(predicate, relation.parent, inner) for predicate in group]
            inner = ops.Filter(inner, predicates)
        return inner

    return each_relation(root, split)


def _cost(predicate: ops.Value) -> int:
    """Rank predicates: plain ones, searches and scores, calls, calls of the ledger."""
    calls = calls_in(predicate)
    return 2 + any(call.cached for call in calls) if calls else int(is_expensive(predicate))
