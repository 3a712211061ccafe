"""From a relation to a plan: rules, staging, lowering, in this order.

Owns the order of the steps and what ties them together. Pure: what it needs to know it asks of
`Facts`, and nothing is run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import RID
from barbule.errors import ColumnNotFoundError, ExpressionError
from barbule.nodes import FunctionCall, ManagedTable
from barbule.planner.call_stages import Staging
from barbule.planner.lineage import origin, prune
from barbule.planner.lowering import lower as lowering
from barbule.planner.plan import (
    HIT,
    PLACE,
    SCORE,
    CallStage,
    CandidateStage,
    KeywordStage,
    NearestStage,
    Plan,
    Stage,
)
from barbule.planner.rules.fuse_images import fuse_images
from barbule.planner.rules.rewrites import apply_rules
from barbule.relations.promotion import promoted

if TYPE_CHECKING:
    from barbule.planner.rules.similarity import IndexedColumn

__all__ = ["Facts", "make_plan"]


class Facts(lowering.Source, Protocol):
    """What the planner knows of tables, indexes and the backend."""

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column, or raise if there is none."""

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with what was recorded of media, if it has any."""

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Make the backend's similarity of two vectors."""


class _Planning:
    """The scope of the rules for one plan: facts, and the stages that rules add."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.staging = Staging(facts.stored)
        self.candidate_stages: list[CandidateStage | NearestStage] = []
        self.keyword_stages: list[KeywordStage] = []
        self.scored: dict[tuple[int, str, ops.Value], dict[ops.Relation, str]] = {}
        self.notes: dict[str, None] = {}

    def note(self, text: str) -> None:
        self.notes[text] = None

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        return self._facts.index_of(leaf, column, name)

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        return self._facts.errors_of(leaf, column)

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        return self._facts.content_of(leaf, column)

    def shown_of(self, leaf: ManagedTable, column: str) -> tuple[ManagedTable, str] | None:
        record = self._facts.record(leaf)
        if record.view is None or record.view.bases or record.column(column) is not None:
            return None
        query = self._facts.expression(record.view.query, leaf.commit)
        return origin(ops.Field(query, column)) if column in query.schema else None

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        return self._facts.similarity(left, right, metric)

    def candidates(
        self, index: IndexedColumn, vector: ops.Value, count: int, rows: ops.Relation | None
    ) -> ops.Relation:
        name = f"bb_candidates_{len(self.candidate_stages)}"
        asked = self.staging.constant(vector, index.searched)
        stage = CandidateStage(name, index.table_id, index.name, asked, count, rows)
        self.candidate_stages.append(stage)
        return self._facts.stored(name, sch.Schema({RID: "int64", SCORE: "float64"}))

    def constant(self, value: ops.Value, index: IndexedColumn) -> ops.Value:
        return self.staging.scalar(value, index.searched)

    def materialised(self, relation: ops.Relation) -> ops.Relation:
        whole = self.staging.stage_all(fuse_images(prune(relation)))
        return self.staging.kept(whole, relation.schema)

    def pairs(
        self,
        index: IndexedColumn,
        queries: Any,
        vector: str,
        count: int,
        rows: ops.Relation | None,
    ) -> ops.Relation:
        name = f"bb_pairs_{len(self.candidate_stages)}"
        stage = NearestStage(name, index.table_id, index.name, queries.name, vector, count, rows)
        self.candidate_stages.append(stage)
        return self._facts.stored(
            name, sch.Schema({PLACE: "int64", HIT: "int64", SCORE: "float64"})
        )

    def keyword_scores(self, leaf: ManagedTable, column: str, query: str) -> ops.Relation:
        asked = KeywordStage("", leaf.table_id, leaf.commit, column, query)
        known = [replace(stage, name="") for stage in self.keyword_stages]
        place = known.index(asked) if asked in known else len(known)
        name = f"bb_keywords_{place}"
        if place == len(known):
            self.keyword_stages.append(replace(asked, name=name))
        return self._facts.stored(name, sch.Schema({HIT: "int64", SCORE: "float64"}))


def make_plan(root: ops.Relation, facts: Facts, rows: lowering.Rows | None = None) -> Plan:
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
        When a parameter has no value.
    """
    for parameter in root.find(ops.ScalarParameter):
        raise ExpressionError(
            f"a parameter of type {parameter.dtype} has no value.",
            hint="Give it to what runs the query, params={parameter: value}, or write the value.",
        )
    root = promoted(root)
    planning = _Planning(facts)
    logical = apply_rules(root, planning)
    if missing := [name for name in root.schema.names if name not in logical.schema]:
        raise ColumnNotFoundError(
            f"there is no column {missing[0]!r}.",
            hint="It may have been dropped or renamed since the expression was written.",
        )
    if logical.find(FunctionCall):
        logical = prune(planning.staging.stage_all(fuse_images(prune(logical))))
    staged = planning.staging.stages
    source: Any = _Unsettled(facts) if staged or planning.keyword_stages else facts
    found = [_narrowed(stage, source, rows) for stage in planning.candidate_stages]
    stages = _ordered([_lowered(stage, source, rows) for stage in staged], found)
    stages = (*planning.keyword_stages, *stages)
    final = lowering.lower(logical, source, rows)
    return Plan(stages, final, root.schema, logical, tuple(planning.notes))


class _Unsettled:
    """Facts that have to hold for longer: rows may be closed while functions are called."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._facts, name)

    def has_closed_rows(self, table_id: int) -> bool:
        return True


def _lowered(stage: CallStage, facts: Facts, rows: Any) -> CallStage:
    source = lowering.lower(stage.source, facts, rows)
    enough = stage.enough
    if enough is not None:
        enough = replace(enough, kept=lowering.lower(enough.kept, facts, rows))
    return replace(stage, source=source, logical=prune(stage.source), enough=enough)


def _narrowed(stage: Any, facts: Facts, rows: Any) -> CandidateStage | NearestStage:
    """Lower which rows are searched."""
    if stage.rows is None:
        return stage
    lowered = lowering.lower(stage.rows, facts, rows)
    lasting = rows is None and _is_lasting(stage.rows)
    return replace(stage, rows=lowered, logical=prune(stage.rows), lasting=lasting)


# What is another the next time, though no table changed, or reads what barbule knows nothing of.
_PASSING_VALUES = (
    ops.Constant,
    ops.Impure,
    ops.Sample,
    ops.ScalarUDF,
    ops.AggUDF,
    ops.SQLQueryResult,
    ops.SQLStringView,
)


def _is_lasting(rows: ops.Relation) -> bool:
    """Whether nothing but a commit changes which rows a relation gives."""
    leaves = rows.find(ops.PhysicalTable)
    return all(isinstance(leaf, ManagedTable) for leaf in leaves) and not rows.find(_PASSING_VALUES)


def _ordered(
    calls: list[CallStage], candidates: list[CandidateStage | NearestStage]
) -> tuple[Stage, ...]:
    """Put each search right after the stage that gives its vector."""
    ordered: list[Stage] = []
    for stage in calls:
        ordered.append(stage)
        ordered += [each for each in candidates if _asked_by(each) == stage.name]
    return tuple(ordered)


def _asked_by(stage: CandidateStage | NearestStage) -> str:
    return stage.vector if isinstance(stage, CandidateStage) else stage.queries
