"""Plans of queries, reused while their tables and functions stay the same.

Owns which plans are reused. `barbule.planner` makes plans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.fast_paths import fast_paths_enabled
from barbule.functions.registry import registrations
from barbule.nodes import ManagedTable
from barbule.planner.planner import make_plan
from barbule.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    import ibis.expr.operations as ops
    import ibis.expr.types as ir

    from barbule.catalog.catalog_reader import CatalogReader
    from barbule.executor.plan_facts import PlanFacts
    from barbule.planner.plan import Plan
    from barbule.planner.plan_cache import PlanCache

__all__ = ["QueryPlanner"]


@dataclass(frozen=True)
class _CachedPlan:
    """A plan with its dependencies.

    Attributes
    ----------
    functions
        The number of function registrations when it was made.
    """

    plan: Plan
    functions: int


class QueryPlanner:
    """Plans the queries of one operation.

    Parameters
    ----------
    catalog, facts
        The tables as the operation sees them.
    plans
        The plans of former searches; None if there are none.
    """

    def __init__(
        self, catalog: CatalogReader, facts: PlanFacts, plans: PlanCache | None = None
    ) -> None:
        self._catalog = catalog
        self._facts = facts
        self._plans = plans

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
        if self._catalog.is_pending:  # its reads are compared when the transaction commits
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
        if rows is not None or self._plans is None:
            return make_plan(root, self._facts, rows)
        version = self._catalog.structure, registrations()
        return self._plans.plan(root, version, lambda: make_plan(root, self._facts))

    def plan_once(
        self,
        key: Hashable,
        query: Callable[[Any], ir.Table],
        rows: Callable[[Any], Mapping[int, ops.Relation]],
        tables: Iterable[int] = (),
    ) -> Plan:
        """Plan a query of new rows, once for the structure of the tables that it reads.

        Parameters
        ----------
        key
            Identifies the query and the relations, as long as that structure is the same.
        query
            Builds the query with the leaves of the given engine: that of the operation, or the one
            of the committed state if the plan may be kept.
        rows
            Makes the relations of new rows in the same way, by table id.
        tables
            Further tables on whose structure the query depends.
        """
        return _recorded(lambda: self._plan_once(key, query, rows, tables))

    def _plan_once(
        self,
        key: Hashable,
        query: Callable[[Any], ir.Table],
        rows: Callable[[Any], Mapping[int, ops.Relation]],
        tables: Iterable[int] = (),
    ) -> Plan:
        functions = registrations()

        def derive(facts: PlanFacts) -> tuple[_CachedPlan, tuple[int, ...]]:
            root, relations = query(facts.source).op(), rows(facts.source)
            plan = make_plan(root, facts, relations)
            read = (leaf.table_id for leaf in root.find(ManagedTable))
            return _CachedPlan(plan, functions), (*relations, *read, *tables)

        if not fast_paths_enabled():
            plan = derive(self._facts)[0].plan
            self._catalog.track_rows_read(*plan.rows_read)
            return plan
        cached = self._facts.plan_once(key, derive)
        unclosed = cached.plan.unclosed
        if cached.functions != functions or any(map(self._facts.has_closed_rows, unclosed)):
            self._facts.forget_plan(key)
            cached = self._facts.plan_once(key, derive)
        self._catalog.track_rows_read(*cached.plan.rows_read)
        return cached.plan


def _recorded(plan_query: Callable[[], Plan]) -> Plan:
    """Plan a query within a span, which `make_plan` renames if the plan is not cached."""
    with span("plan", "cached") as traced:
        plan = plan_query()
        traced.set(stages=len(plan.stages))
    return plan
