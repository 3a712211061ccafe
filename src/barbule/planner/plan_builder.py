"""A plan while it is made: the stages, notes and index lookups that belong to it alone.

Rewrite rules receive it. Owns the names of the stages that they add.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import RID
from barbule.planner.lineage import origin, prune
from barbule.planner.stages import (
    HIT,
    QUERY_ROW,
    SCORE,
    CandidateStage,
    KeywordStage,
    NearestStage,
)
from barbule.planner.staging.call_stages import Staging
from barbule.planner.staging.fuse_images import fuse_images

if TYPE_CHECKING:
    from barbule.nodes import ManagedTable
    from barbule.planner.facts import PlannerFacts
    from barbule.planner.query_vectors import IndexedColumn

__all__ = ["PlanBuilder"]


class PlanBuilder:
    """One plan while it is made: what rules may ask, and the stages and notes that they add.

    Parameters
    ----------
    facts
        Information on tables, indexes and the backend.

    Attributes
    ----------
    staging
        The stages of calls.
    candidate_stages, keyword_stages
        The stages of searches.
    score_columns
        By table, index and query vector: the relations that hold the similarity of their rows to
        that vector, and the column.
    notes
        Lines of the plan for the reader, in order.
    """

    def __init__(self, facts: PlannerFacts) -> None:
        self.facts = facts
        self.staging = Staging(facts.stored)
        self.candidate_stages: list[CandidateStage | NearestStage] = []
        self.keyword_stages: list[KeywordStage] = []
        self.score_columns: dict[tuple[int, str, ops.Value], dict[ops.Relation, str]] = {}
        self.notes: dict[str, None] = {}
        self._indexes: dict[tuple[ManagedTable, str, str | None], IndexedColumn] = {}

    def add_note(self, text: str) -> None:
        """Add a line to the plan for the reader."""
        self.notes[text] = None

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column, the same for the whole plan, or raise."""
        key = leaf, column, name
        if key not in self._indexes:
            self._indexes[key] = self.facts.index_of(leaf, column, name)
        return self._indexes[key]

    def base_column(self, leaf: ManagedTable, column: str) -> tuple[ManagedTable, str] | None:
        """Return the column of its base that a view passes on unchanged as a column."""
        record = self.facts.record(leaf)
        if record.view is None or record.view.bases or record.column(column) is not None:
            return None
        query = self.facts.expression(record.view.query, leaf.commit)
        return origin(ops.Field(query, column)) if column in query.schema else None

    def candidates(
        self, index: IndexedColumn, vector: ops.Value, count: int, rows: ops.Relation | None
    ) -> ops.Relation:
        """Add a stage that finds the nearest rows; return their row ids, in the column `_rid`."""
        name = f"bb_candidates_{len(self.candidate_stages)}"
        vector_stage = self.staging.constant(vector, index.searched_index)
        stage = CandidateStage(name, index.table_id, index.name, vector_stage, count, rows)
        self.candidate_stages.append(stage)
        return self.facts.stored(name, sch.Schema({RID: "int64", SCORE: "float64"}))

    def staged_constant(self, value: ops.Value, index: IndexedColumn) -> ops.Value:
        """Add a stage that computes a query constant once; return the value that reads it."""
        return self.staging.scalar(value, index.searched_index)

    def materialised(self, relation: ops.Relation) -> ops.Relation:
        """Add a stage that computes a relation once; return the relation that reads it."""
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
        """Add a stage that pairs queries with near rows, by `bb_place` and `bb_hit`."""
        name = f"bb_pairs_{len(self.candidate_stages)}"
        stage = NearestStage(name, index.table_id, index.name, queries.name, vector, count, rows)
        self.candidate_stages.append(stage)
        return self.facts.stored(
            name, sch.Schema({QUERY_ROW: "int64", HIT: "int64", SCORE: "float64"})
        )

    def keyword_scores(self, leaf: ManagedTable, column: str, query: str) -> ops.Relation:
        """Add a stage that scores the rows that contain words of a query; return its rows."""
        new_stage = KeywordStage("", leaf.table_id, leaf.commit, column, query)
        unnamed_stages = [replace(stage, name="") for stage in self.keyword_stages]
        is_new = new_stage not in unnamed_stages
        number = len(unnamed_stages) if is_new else unnamed_stages.index(new_stage)
        name = f"bb_keywords_{number}"
        if is_new:
            self.keyword_stages.append(replace(new_stage, name=name))
        return self.facts.stored(name, sch.Schema({HIT: "int64", SCORE: "float64"}))
