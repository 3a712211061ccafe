"""Plans of searches that were made before, for the same search with another query.

Owns what is the same of two searches: all but the constant that is searched for. Planning a
search and compiling it takes several times as long as finding the rows.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.nodes import Similarity, VectorLiteral
from barbule.planner.plan import CallStage, CandidateStage, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RememberedPlans"]

_MOST = 128
_BLANK = "\0bb_query"


class RememberedPlans:
    """The plans of searches at one commit; a later commit makes all of them anew."""

    def __init__(self) -> None:
        self._plans: OrderedDict[ops.Relation, tuple[int, ops.Value, Plan]] = OrderedDict()

    def plan(self, root: ops.Relation, head: int, make: Callable[[], Plan]) -> Plan:
        """Return the plan of a relation, made only where none of its like is known."""
        asked = _constant(root)
        if asked is None:
            return make()
        like = _blanked(root, asked)
        known = self._plans.get(like)
        if known is not None and known[0] == head:
            self._plans.move_to_end(like)
            return _with_constant(known[2], known[1], asked)
        plan = make()
        if _is_general(plan, asked):
            self._plans[like] = (head, asked, plan)
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


def _blanked(root: ops.Relation, asked: Any) -> ops.Relation:
    if isinstance(asked, VectorLiteral):
        blank: ops.Value = asked.copy(data=_BLANK)
    else:
        blank = ops.Literal(_BLANK, asked.dtype)

    def change(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, Similarity):
            return node.copy(**{**(kwargs or {}), "query": blank})
        return node.__recreate__(kwargs) if kwargs else node

    return root.replace(change)


def _is_general(plan: Plan, asked: ops.Value) -> bool:
    """Whether the constant stands nowhere but in the stages that give it."""
    if not any(isinstance(stage, CandidateStage) for stage in plan.stages):
        return False
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
    if old == new:
        return plan
    stages = []
    for stage in plan.stages:
        if isinstance(stage, CallStage) and isinstance(stage.source, ops.DummyTable):
            values = {name: new if v == old else v for name, v in stage.source.values.items()}
            source = ops.DummyTable(values)
            stages.append(replace(stage, source=source, logical=source))
        else:
            stages.append(stage)  # type: ignore[arg-type]
    return replace(plan, stages=tuple(stages))
