"""The plan of a query, with forecasts of its calls and the access paths of its searches.

Owns what `explain()` adds to a plan; no function is called for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.executor.budgets.forecast import forecast
from barbule.planner.stages import CandidateStage, NearestStage

if TYPE_CHECKING:
    from barbule.executor.calls.operation import Operation
    from barbule.executor.plan_runner import PlanRunner
    from barbule.executor.search.nearest_rows import NearestRows
    from barbule.planner.plan import Plan
    from barbule.planner.stages import Stage

__all__ = ["explained"]


def explained(
    plan: Plan, plan_runner: PlanRunner, operation: Operation, nearest: NearestRows
) -> Plan:
    """Return a plan with forecasts and access paths, for the rows that qualify now."""

    def explained_stage(stage: Stage) -> Stage:
        if isinstance(stage, NearestStage):
            return replace(stage, strategy="compared exactly with vectors in memory, all at once")
        if not isinstance(stage, CandidateStage):
            return stage
        rows = plan_runner.qualifying(stage, {})
        path = nearest.access_path(stage, None if rows is None else len(rows))
        return replace(stage, strategy=str(path))

    plan = forecast(plan, plan_runner, operation)
    return replace(plan, stages=tuple(map(explained_stage, plan.stages)))
