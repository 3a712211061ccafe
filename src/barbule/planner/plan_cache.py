"""Plans of searches, reused for the same search with another query.

Owns when two searches share a plan: if they differ only in the constant query. Planning a search
and compiling it takes several times as long as finding the rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.expression_keys import ExpressionKey, equal
from barbule.fast_paths import fast_paths_enabled
from barbule.nodes import ManagedTable, Similarity, VectorLiteral
from barbule.nodes.tree_walk import find_nodes
from barbule.planner.stages import CallStage, CandidateStage, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from barbule.planner.plan import Plan

__all__ = ["PlanCache"]

_MAX_PLANS = 128


class PlanCache:
    """The plans of searches, as long as the structure of tables and functions stays the same."""

    def __init__(self) -> None:
        self._plans: OrderedDict[ExpressionKey, tuple[Hashable, ops.Value, Plan]] = OrderedDict()

    def plan(self, root: ops.Relation, state: Hashable, make_plan: Callable[[], Plan]) -> Plan:
        """Return the plan of a relation; create it only if none of the same shape is cached.

        Parameters
        ----------
        state
            A value that changes whenever a cached plan may be invalid.
        """
        query = _query_constant(root) if fast_paths_enabled() else None
        if query is None:
            return make_plan()
        key = ExpressionKey(_shape(root))
        cached = self._plans.get(key)
        if cached is not None and cached[0] == state:
            with suppress(KeyError):  # another thread may just have made room
                self._plans.move_to_end(key)
            return _with_constant(cached[2], cached[1], query)
        plan = make_plan()
        if _is_stable(root, plan) and _is_reusable(plan, query):
            self._plans[key] = (state, query, plan)
            if len(self._plans) > _MAX_PLANS:
                self._plans.popitem(last=False)
        return plan


def _query_constant(root: ops.Relation) -> ops.Value | None:
    """Return the constant query, if any other constant would get the same plan."""
    queries = {similarity.query for similarity in find_nodes(root, Similarity)}
    if len(queries) != 1:
        return None
    (query,) = queries
    if isinstance(query, VectorLiteral):
        return query if query.numbers().any() else None
    return query if isinstance(query, ops.Literal) and isinstance(query.value, str) else None


def _shape(root: ops.Relation) -> object:
    """Return a key that is equal for two relations that differ only in the constant query.

    Nodes without a search below them are used as they are: rebuilding the tree around another
    constant takes as long as finding the rows.
    """
    shapes: dict[ops.Node, object] = {}

    def shape_of(argument: object) -> object:
        if isinstance(argument, ops.Node):
            if argument not in shapes:
                shapes[argument] = node_shape(argument)
            return shapes[argument]
        if isinstance(argument, tuple):
            members = tuple(shape_of(member) for member in argument)
            same = all(one is other for one, other in zip(members, argument, strict=True))
            return argument if same else members
        if isinstance(argument, Mapping):
            fields = tuple((name, shape_of(member)) for name, member in argument.items())
            same = all(member is argument[name] for name, member in fields)
            return argument if same else ("map", *fields)
        return argument

    def node_shape(node: ops.Node) -> object:
        if isinstance(node, Similarity):
            query = node.query
            query_shape = query.length if isinstance(query, VectorLiteral) else query.dtype
            return (Similarity, shape_of(node.arg), query_shape, node.index)
        arguments = tuple(shape_of(argument) for argument in node.__args__)
        if all(one is other for one, other in zip(arguments, node.__args__, strict=True)):
            return node
        return (type(node), *arguments)

    return shape_of(root)


def _is_stable(root: ops.Relation, plan: Plan) -> bool:
    """Whether only a commit can change the plan: rows are scanned until an index is complete."""
    searches = any(isinstance(stage, CandidateStage) for stage in plan.stages)
    return searches or all(leaf.commit is not None for leaf in root.find(ManagedTable))


def _is_reusable(plan: Plan, query: ops.Value) -> bool:
    """Whether the constant occurs only in the stages that return it."""
    relations, staged = [plan.final], False
    for stage in plan.stages:
        if isinstance(stage, CallStage) and isinstance(stage.source, ops.DummyTable):
            staged |= query in stage.source.values.values()
        elif isinstance(stage, CallStage):
            relations.append(stage.source)
        elif getattr(stage, "rows", None) is not None:
            relations.append(stage.rows)  # type: ignore[union-attr]
    return staged and not any(query in relation.find(type(query)) for relation in relations)


def _with_constant(plan: Plan, old: ops.Value, new: ops.Value) -> Plan:
    if equal(old, new):
        return plan
    stages: list[Stage] = []
    for stage in plan.stages:
        if isinstance(stage, CallStage) and isinstance(stage.source, ops.DummyTable):
            values = {
                name: new if equal(value, old) else value
                for name, value in stage.source.values.items()
            }
            source = ops.DummyTable(values)
            stages.append(replace(stage, source=source, logical=source))
        else:
            stages.append(stage)
    return replace(plan, stages=tuple(stages))
