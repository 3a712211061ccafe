"""Moves calls out of aggregations: the aggregation is computed first, the calls after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.planner.lineage import calls_in, each_relation

if TYPE_CHECKING:
    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["extract_aggregate_calls"]


def extract_aggregate_calls(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Aggregate first and call a function of an aggregate afterwards."""

    def extract(relation: ops.Relation) -> ops.Relation:
        if not isinstance(relation, ops.Aggregate):
            return relation
        calls = (call for metric in relation.metrics.values() for call in calls_in(metric))
        if not any(call.find(ops.Reduction, filter=ops.Value) for call in calls):
            return relation
        return _call_after_aggregate(relation)

    return each_relation(root, extract)


def _call_after_aggregate(aggregate: ops.Aggregate) -> ops.Relation:
    reductions: dict[ops.Value, str] = {}
    for metric in aggregate.metrics.values():
        for reduction in metric.find(ops.Reduction, filter=ops.Value):
            reductions.setdefault(reduction, f"m{len(reductions)}")
    inner = ops.Aggregate(
        aggregate.parent, aggregate.groups, {name: value for value, name in reductions.items()}
    )
    fields = {value: ops.Field(inner, name) for value, name in reductions.items()}
    groups = {name: ops.Field(inner, name) for name in aggregate.groups}
    metrics = {
        name: metric.replace(fields, filter=ops.Value) for name, metric in aggregate.metrics.items()
    }
    return ops.Project(inner, {**groups, **metrics})
