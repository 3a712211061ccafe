"""Plans of searches that were made before, for the same search with another query.

Owns what is the same of two searches: all but the constant that is searched for. Planning a
search and compiling it takes several times as long as finding the rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.expression_keys import ExpressionKey, equal
from barbule.nodes import ManagedTable, Similarity, VectorLiteral
from barbule.planner.plan import CallStage, CandidateStage, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["RememberedPlans"]

_MOST = 128


class RememberedPlans:
    """The plans of searches, as long as the structure of tables and functions stay the same."""

    def __init__(self) -> None:
        self._plans: OrderedDict[ExpressionKey, tuple[Hashable, ops.Value, Plan]] = OrderedDict()

    def plan(self, root: ops.Relation, moment: Hashable, make: Callable[[], Plan]) -> Plan:
        """Return the plan of a relation, made only where none of its like is known.

        Parameters
        ----------
        moment
            What differs once a plan may be another one.
        """
        asked = _constant(root)
        if asked is None:
            return make()
        like = ExpressionKey(_likeness(root))
        known = self._plans.get(like)
        if known is not None and known[0] == moment:
            with suppress(KeyError):  # another thread may just have made room
                self._plans.move_to_end(like)
            return _with_constant(known[2], known[1], asked)
        plan = make()
        if _lasts(root, plan) and _is_general(plan, asked):
            self._plans[like] = (moment, asked, plan)
            if len(self._plans) > _MOST:
                self._plans.popitem(last=False)
        return plan


def _constant(root: ops.Relation) -> ops.Value | None:
    """Return the one constant that is searched for, if it may be any other as well."""
    queries = {found.query for found in root.find(Similarity)}
    if len(queries) != 1:
        return None
    (query,) = queries
    if isinstance(query, VectorLiteral):
        return query if query.numbers().any() else None
    return query if isinstance(query, ops.Literal) and isinstance(query.value, str) else None


def _likeness(root: ops.Relation) -> Any:
    """Return what is equal for two relations that differ in what is searched for alone.

    Nodes without a search below them stand for themselves: to rebuild the tree around another
    constant takes as long as to find the rows.
    """
    known: dict[Any, Any] = {}

    def of(value: Any) -> Any:
        if isinstance(value, ops.Node):
            if value not in known:
                known[value] = of_node(value)
            return known[value]
        if isinstance(value, tuple):
            found = tuple(of(item) for item in value)
            return value if all(a is b for a, b in zip(found, value, strict=True)) else found
        if isinstance(value, Mapping):
            found = tuple((name, of(item)) for name, item in value.items())
            same = all(item is value[name] for name, item in found)
            return value if same else ("map", *found)
        return value

    def of_node(node: ops.Node) -> Any:
        if isinstance(node, Similarity):
            query = node.query
            asked = query.length if isinstance(query, VectorLiteral) else query.dtype
            return (Similarity, of(node.arg), asked, node.index)
        found = tuple(of(argument) for argument in node.__args__)
        if all(a is b for a, b in zip(found, node.__args__, strict=True)):
            return node
        return (type(node), *found)

    return of(root)


def _lasts(root: ops.Relation, plan: Plan) -> bool:
    """Whether nothing but a commit changes the plan: rows are scanned till an index is filled."""
    searched = any(isinstance(stage, CandidateStage) for stage in plan.stages)
    return searched or all(leaf.commit is not None for leaf in root.find(ManagedTable))


def _is_general(plan: Plan, asked: ops.Value) -> bool:
    """Whether the constant stands nowhere but in the stages that give it."""
    relations, given = [plan.final], False
    for stage in plan.stages:
        if isinstance(stage, CallStage) and isinstance(stage.source, ops.DummyTable):
            given |= asked in stage.source.values.values()
        elif isinstance(stage, CallStage):
            relations.append(stage.source)
        elif getattr(stage, "rows", None) is not None:
            relations.append(stage.rows)  # type: ignore[union-attr]
    return given and not any(asked in relation.find(type(asked)) for relation in relations)


def _with_constant(plan: Plan, old: ops.Value, new: ops.Value) -> Plan:
    if equal(old, new):
        return plan
    stages = []
    for stage in plan.stages:
        if isinstance(stage, CallStage) and isinstance(stage.source, ops.DummyTable):
            values = {name: new if equal(v, old) else v for name, v in stage.source.values.items()}
            source = ops.DummyTable(values)
            stages.append(replace(stage, source=source, logical=source))
        else:
            stages.append(stage)  # type: ignore[arg-type]
    return replace(plan, stages=tuple(stages))
