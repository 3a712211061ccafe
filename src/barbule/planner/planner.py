"""From a relation to a plan: rules, staging, lowering, in this order.

Owns the order of the steps and their connection. Pure: it reads all information from a
`PlannerContext`, and executes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import RID
from barbule.errors import ColumnNotFoundError, ExpressionError
from barbule.nodes import FunctionCall, ManagedTable
from barbule.nodes.tree_walk import find_nodes
from barbule.planner.lineage import origin, prune
from barbule.planner.lowering.lower import Rows, lower
from barbule.planner.lowering.table_schemas import LoweringContext
from barbule.planner.plan import Plan
from barbule.planner.rewriter import apply_rules
from barbule.planner.stages import (
    HIT,
    QUERY_ROW,
    SCORE,
    CallStage,
    CandidateStage,
    KeywordStage,
    NearestStage,
    Stage,
)
from barbule.planner.staging.call_stages import Staging
from barbule.planner.staging.fuse_images import fuse_images
from barbule.relations.promotion import promoted
from barbule.tracing import rename

if TYPE_CHECKING:
    from typing import Any

    from barbule.planner.query_vectors import IndexedColumn

__all__ = ["PlannerContext", "make_plan"]


class PlannerContext(LoweringContext, Protocol):
    """The planner's view of tables, indexes and the backend."""

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column, or raise if there is none."""

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the recorded content of media, if any."""

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Return the backend's expression for the similarity of two vectors."""


class PlanBuilder:
    """The `RewriteContext` of one plan: the planner's context, and the stages that rules add."""

    def __init__(self, context: PlannerContext) -> None:
        self._context = context
        self.staging = Staging(context.stored)
        self.candidate_stages: list[CandidateStage | NearestStage] = []
        self.keyword_stages: list[KeywordStage] = []
        self.score_columns: dict[tuple[int, str, ops.Value], dict[ops.Relation, str]] = {}
        self.notes: dict[str, None] = {}

    def add_note(self, text: str) -> None:
        self.notes[text] = None

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        return self._context.index_of(leaf, column, name)

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        return self._context.errors_of(leaf, column)

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        return self._context.content_of(leaf, column)

    def base_column(self, leaf: ManagedTable, column: str) -> tuple[ManagedTable, str] | None:
        record = self._context.record(leaf)
        if record.view is None or record.view.bases or record.column(column) is not None:
            return None
        query = self._context.expression(record.view.query, leaf.commit)
        return origin(ops.Field(query, column)) if column in query.schema else None

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        return self._context.similarity(left, right, metric)

    def candidates(
        self, index: IndexedColumn, vector: ops.Value, count: int, rows: ops.Relation | None
    ) -> ops.Relation:
        name = f"bb_candidates_{len(self.candidate_stages)}"
        vector_stage = self.staging.constant(vector, index.searched_index)
        stage = CandidateStage(name, index.table_id, index.name, vector_stage, count, rows)
        self.candidate_stages.append(stage)
        return self._context.stored(name, sch.Schema({RID: "int64", SCORE: "float64"}))

    def staged_constant(self, value: ops.Value, index: IndexedColumn) -> ops.Value:
        return self.staging.scalar(value, index.searched_index)

    def materialised(self, relation: ops.Relation) -> ops.Relation:
        staged = self.staging.stage_all(fuse_images(prune(relation)))
        return self.staging.materialised(staged, relation.schema)

    def nearest_pairs(
        self,
        index: IndexedColumn,
        queries: ops.Relation,
        vector: str,
        count: int,
        rows: ops.Relation | None,
    ) -> ops.Relation:
        name = f"bb_pairs_{len(self.candidate_stages)}"
        stage = NearestStage(name, index.table_id, index.name, queries.name, vector, count, rows)
        self.candidate_stages.append(stage)
        return self._context.stored(
            name, sch.Schema({QUERY_ROW: "int64", HIT: "int64", SCORE: "float64"})
        )

    def keyword_scores(self, leaf: ManagedTable, column: str, query: str) -> ops.Relation:
        new_stage = KeywordStage("", leaf.table_id, leaf.commit, column, query)
        unnamed_stages = [replace(stage, name="") for stage in self.keyword_stages]
        is_new = new_stage not in unnamed_stages
        number = len(unnamed_stages) if is_new else unnamed_stages.index(new_stage)
        name = f"bb_keywords_{number}"
        if is_new:
            self.keyword_stages.append(replace(new_stage, name=name))
        return self._context.stored(name, sch.Schema({HIT: "int64", SCORE: "float64"}))


def make_plan(root: ops.Relation, context: PlannerContext, rows: Rows | None = None) -> Plan:
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
    builder = PlanBuilder(context)
    logical = apply_rules(root, builder)
    if missing := [name for name in root.schema.names if name not in logical.schema]:
        raise ColumnNotFoundError(
            f"there is no column {missing[0]!r}.",
            hint="It may have been dropped or renamed since the expression was written.",
        )
    if find_nodes(logical, FunctionCall):
        logical = prune(builder.staging.stage_all(fuse_images(prune(logical))))
    call_stages = builder.staging.stages
    stage_context: Any = context
    if call_stages or builder.keyword_stages:
        stage_context = _LongRunning(context)
    candidate_stages = [
        _lowered_search(stage, stage_context, rows) for stage in builder.candidate_stages
    ]
    lowered_stages = [_lowered(stage, stage_context, rows) for stage in call_stages]
    stages = (*builder.keyword_stages, *_ordered(lowered_stages, candidate_stages))
    final = lower(logical, stage_context, rows)
    return Plan(stages, final, root.schema, logical, tuple(builder.notes))


class _LongRunning:
    """A context that is valid for longer: rows may be closed while functions are called."""

    def __init__(self, context: PlannerContext) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def has_closed_rows(self, table_id: int) -> bool:
        return True


def _lowered(stage: CallStage, context: PlannerContext, rows: Rows | None) -> CallStage:
    source = lower(stage.source, context, rows)
    early_stop = stage.early_stop
    if early_stop is not None:
        qualifying = lower(early_stop.qualifying, context, rows)
        early_stop = replace(early_stop, qualifying=qualifying)
    return replace(stage, source=source, logical=prune(stage.source), early_stop=early_stop)


def _lowered_search(
    stage: CandidateStage | NearestStage, context: PlannerContext, rows: Rows | None
) -> CandidateStage | NearestStage:
    """Lower the selection of the searched rows."""
    if stage.rows is None:
        return stage
    lowered = lower(stage.rows, context, rows)
    stable = rows is None and _is_stable(stage.rows)
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
