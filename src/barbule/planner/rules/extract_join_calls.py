"""Moves calls out of joins: those of predicates are computed before, those of columns after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.errors import UnsupportedError
from barbule.planner.lineage import (
    EXPENSIVE_VALUES,
    calls_in,
    each_relation,
    fresh_name,
    is_expensive,
)

if TYPE_CHECKING:
    from typing import Any

    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["extract_join_calls"]


def extract_join_calls(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Compute calls in join predicates before the join, those in its columns after it."""

    def extract(relation: ops.Relation) -> ops.Relation:
        if not isinstance(relation, ops.JoinChain):
            return relation
        return _compute_columns_after(_compute_predicates_before(relation))

    return each_relation(root, extract)


def _compute_columns_after(join: ops.JoinChain) -> ops.Relation:
    if not any(map(is_expensive, join.values.values())):
        return join
    names: dict[ops.Field, str] = {}
    for value in join.values.values():
        for field in calls_in(value, ops.Field):
            names.setdefault(field, f"j{len(names)}")
    plain_join = join.copy(values={name: field for field, name in names.items()})
    fields = {field: ops.Field(plain_join, name) for field, name in names.items()}
    return ops.Project(
        plain_join,
        {name: value.replace(fields, filter=ops.Value) for name, value in join.values.items()},
    )


def _compute_predicates_before(join: ops.JoinChain) -> ops.JoinChain:
    calls = (
        call
        for link in join.rest
        for predicate in link.predicates
        for call in calls_in(predicate, EXPENSIVE_VALUES)
    )
    call = next(calls, None)
    return join if call is None else _compute_predicates_before(_with_call_column(join, call))


def _with_call_column(join: ops.JoinChain, call: ops.Value) -> ops.JoinChain:
    """Replace a call in the predicates of a join by a column of the side that it reads."""
    if len(call.relations) != 1:
        raise UnsupportedError(
            f"{call.name} takes columns of both sides of the join in the join condition.",
            hint="Join on plain columns first and filter by the call afterwards.",
        )
    (side,) = call.relations
    name = fresh_name("call", side.schema)
    fields = {field: ops.Field(side.parent, field.name) for field in calls_in(call, ops.Field)}
    parent = ops.Project(side.parent, {**side.parent.fields, name: call.replace(fields)})
    new_side = side.copy(parent=parent)

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if node == call:
            return ops.Field(new_side, name)
        if isinstance(node, ops.Field) and node.rel == side:
            return ops.Field(new_side, node.name)
        if node == side:
            return new_side
        return node.__recreate__(kwargs) if kwargs else node

    return join.replace(replace)
