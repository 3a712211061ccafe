"""From a relation to a plan: rules, staging, lowering, in this order.

Owns the order of the steps and their connection. Pure: it reads all information from
`PlannerFacts`, and executes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.errors import ColumnNotFoundError, ExpressionError
from barbule.nodes import FunctionCall, ManagedTable, SystemTable
from barbule.nodes.tree_walk import find_nodes
from barbule.planner.lineage import prune
from barbule.planner.lowering.lower import Lowering, Rows, lower
from barbule.planner.lowering.visible_rows import RowsRead
from barbule.planner.plan import Plan
from barbule.planner.plan_builder import PlanBuilder
from barbule.planner.rewriter import apply_rules
from barbule.planner.stages import CallStage, CandidateStage, NearestStage, Stage
from barbule.planner.staging.fuse_images import fuse_images
from barbule.relations.promotion import promoted
from barbule.tracing import rename

if TYPE_CHECKING:
    from barbule.planner.facts import PlannerFacts

__all__ = ["make_plan"]


def make_plan(root: ops.Relation, facts: PlannerFacts, rows: Rows | None = None) -> Plan:
    """Plan how to compute a relation.

    Parameters
    ----------
    root
        Any tree of Ibis' and barbule's operations.
    rows
        Physical rows to read instead of the stored ones, by table id.

    Raises
    ------
    ExpressionError
        If a parameter has no value.
    """
    rename("plan", "made")
    for parameter in find_nodes(root, ops.ScalarParameter):
        raise ExpressionError(
            f"a parameter of type {parameter.dtype} has no value.",
            hint="Pass it when you run the query, params={parameter: value}, or write the value "
            "in the query.",
        )
    root = promoted(root)
    builder = PlanBuilder(facts)
    logical = apply_rules(root, builder)
    if missing := [name for name in root.schema.names if name not in logical.schema]:
        raise ColumnNotFoundError(
            f"there is no column {missing[0]!r}.",
            hint="It may have been dropped or renamed since the expression was written.",
        )
    if find_nodes(logical, FunctionCall):
        logical = prune(builder.staging.stage_all(fuse_images(prune(logical))))
    call_stages = builder.staging.stages
    reads = RowsRead(facts, long_running=bool(call_stages or builder.keyword_stages))
    lowering = Lowering(facts, reads, rows or {})
    candidate_stages = [
        _lowered_search(stage, lowering, only_stored=rows is None)
        for stage in builder.candidate_stages
    ]
    lowered_stages = [_lowered(stage, lowering) for stage in call_stages]
    stages = (*builder.keyword_stages, *_ordered(lowered_stages, candidate_stages))
    final = lower(logical, lowering)
    return Plan(
        stages,
        final,
        root.schema,
        logical,
        tuple(builder.notes),
        frozenset(reads.tables),
        frozenset(reads.unclosed),
        reads_calls=bool(find_nodes(root, SystemTable)),
    )


def _lowered(stage: CallStage, lowering: Lowering) -> CallStage:
    source = lower(stage.source, lowering)
    early_stop = stage.early_stop
    if early_stop is not None:
        qualifying = lower(early_stop.qualifying, lowering)
        early_stop = replace(early_stop, qualifying=qualifying)
    return replace(stage, source=source, logical=prune(stage.source), early_stop=early_stop)


def _lowered_search(
    stage: CandidateStage | NearestStage, lowering: Lowering, *, only_stored: bool
) -> CandidateStage | NearestStage:
    """Lower the selection of the searched rows, among which new ones may be."""
    if stage.rows is None:
        return stage
    lowered = lower(stage.rows, lowering)
    stable = only_stored and _is_stable(stage.rows)
    return replace(stage, rows=lowered, logical=prune(stage.rows), stable=stable)


# Relations that differ on each read although no table changed, or that read unmanaged data.
_VOLATILE_NODES = (
    ops.Constant,
    ops.Impure,
    ops.Sample,
    ops.ScalarUDF,
    ops.AggUDF,
    ops.SQLQueryResult,
    ops.SQLStringView,
)


def _is_stable(rows: ops.Relation) -> bool:
    """Whether only a commit can change the rows of a relation."""
    leaves = rows.find(ops.PhysicalTable)
    return all(isinstance(leaf, ManagedTable) for leaf in leaves) and not rows.find(_VOLATILE_NODES)


def _ordered(
    call_stages: list[CallStage], candidate_stages: list[CandidateStage | NearestStage]
) -> tuple[Stage, ...]:
    """Move each search directly after the stage that returns its vector."""
    ordered: list[Stage] = []
    for call_stage in call_stages:
        ordered.append(call_stage)
        ordered += [stage for stage in candidate_stages if _input_stage(stage) == call_stage.name]
    return tuple(ordered)


def _input_stage(stage: CandidateStage | NearestStage) -> str:
    return stage.vector if isinstance(stage, CandidateStage) else stage.queries
