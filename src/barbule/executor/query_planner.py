"""Plans of queries, reused while their tables and functions stay the same.

Owns which plans are reused. `barbule.planner` makes plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from barbule.fast_paths import fast_paths_enabled
from barbule.functions.registry import registrations
from barbule.nodes import ManagedTable
from barbule.planner.plan_cache import PlanCache
from barbule.planner.planner import make_plan
from barbule.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    import ibis.expr.operations as ops
    import ibis.expr.types as ir

    from barbule.catalog.derivations import Derivations
    from barbule.catalog.store import Catalog
    from barbule.executor.plan_facts import PlanFacts
    from barbule.planner.plan import Plan

__all__ = ["QueryPlanner"]


@dataclass(frozen=True)
class _CachedPlan:
    """A plan with its dependencies.

    Attributes
    ----------
    functions
        The number of function registrations when it was made.
    tables
        The tables whose structure it depends on.
    """

    plan: Plan
    functions: int
    tables: tuple[int, ...]


class QueryPlanner:
    """Plans the queries of one open database."""

    def __init__(self, catalog: Catalog, facts: PlanFacts, derivations: Derivations) -> None:
        self._catalog = catalog
        self._facts = facts
        self._derivations = derivations
        self._search_plans = PlanCache()

    def plan(self, expr: ir.Expr, rows: Mapping[int, ops.Relation] | None = None) -> Plan:
        """Plan how an expression is executed.

        Parameters
        ----------
        rows
            The relations of new rows, by table id.
        """
        return _recorded(lambda: self._plan(expr, rows))

    def _plan(self, expr: ir.Expr, rows: Mapping[int, ops.Relation] | None) -> Plan:
        root = expr.as_table().op()
        if self._catalog.pending:  # its reads are compared when the transaction commits
            plan = make_plan(root, self._facts, rows)
            self._catalog.track_rows_read(*plan.rows_read)
            return plan
        self._catalog.refresh()
        while True:
            structure = self._catalog.structure
            try:
                plan = self._make(root, rows)
            except Exception:
                if structure == self._catalog.structure:
                    raise
                continue  # it depends on the structure of tables at two different commits
            if structure == self._catalog.structure:
                return plan

    def _make(self, root: ops.Relation, rows: Mapping[int, ops.Relation] | None) -> Plan:
        if rows is not None:
            return make_plan(root, self._facts, rows)
        version = self._catalog.structure, registrations()
        return self._search_plans.plan(root, version, lambda: make_plan(root, self._facts))

    def plan_once(
        self,
        key: Hashable,
        query: Callable[[], ir.Table],
        rows: Callable[[], Mapping[int, ops.Relation]],
        tables: Iterable[int] = (),
    ) -> Plan:
        """Plan a query of new rows, once for the structure of the tables that it reads.

        Parameters
        ----------
        key
            Identifies the query and the relations, as long as that structure is the same.
        rows
            Makes the relations of new rows, by table id.
        tables
            Further tables on whose structure the query depends.
        """
        return _recorded(lambda: self._plan_once(key, query, rows, tables))

    def _plan_once(
        self,
        key: Hashable,
        query: Callable[[], ir.Table],
        rows: Callable[[], Mapping[int, ops.Relation]],
        tables: Iterable[int] = (),
    ) -> Plan:
        functions = registrations()

        def derive() -> _CachedPlan:
            root, relations = query().op(), rows()
            plan = make_plan(root, self._facts, relations)
            read = (leaf.table_id for leaf in root.find(ManagedTable))
            return _CachedPlan(plan, functions, (*relations, *read, *tables))

        if not fast_paths_enabled():
            plan = derive().plan
            self._catalog.track_rows_read(*plan.rows_read)
            return plan
        plan_key = ("plan", key)
        cached = self._derivations.get(plan_key, derive, lambda cached: cached.tables)
        unclosed = cached.plan.unclosed
        if cached.functions != functions or any(map(self._facts.has_closed_rows, unclosed)):
            self._derivations.forget(plan_key)
            cached = self._derivations.get(plan_key, derive, lambda cached: cached.tables)
        self._catalog.track_rows_read(*cached.plan.rows_read)
        return cached.plan


def _recorded(plan_query: Callable[[], Plan]) -> Plan:
    """Plan a query within a span, which `make_plan` renames if the plan is not cached."""
    with span("plan", "cached") as traced:
        plan = plan_query()
        traced.set(stages=len(plan.stages))
    return plan
