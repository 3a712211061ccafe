"""The interface of the planner for rewrite rules, as a Protocol.

Owns only the interface; the planner has the implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ibis.expr.operations as ops

    from barbule.nodes import ManagedTable
    from barbule.planner.query_vectors import IndexedColumn

__all__ = ["RewriteContext"]


class RewriteContext(Protocol):
    """Information on tables and indexes for rewrite rules, and the stages that they may add.

    Attributes
    ----------
    score_columns
        By table, index and query vector: the relations that hold the similarity of their rows to
        that vector, and the column.
    """

    score_columns: dict[tuple[int, str, ops.Value], dict[ops.Relation, str]]

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column, or raise if there is none."""

    def add_note(self, text: str) -> None:
        """Add a line to the plan for the reader."""

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the recorded content of media, if any."""

    def base_column(self, leaf: ManagedTable, column: str) -> tuple[ManagedTable, str] | None:
        """Return the column of its base that a view passes on unchanged as a column."""

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Return the backend's expression for the similarity of two vectors."""

    def candidates(
        self, index: IndexedColumn, vector: ops.Value, count: int, rows: ops.Relation | None
    ) -> ops.Relation:
        """Add a stage that finds the nearest rows; return their row ids, in the column `_rid`."""

    def staged_constant(self, value: ops.Value, index: IndexedColumn) -> ops.Value:
        """Add a stage that computes a query constant once; return the value that reads it."""

    def materialised(self, relation: ops.Relation) -> ops.Relation:
        """Add a stage that computes a relation once; return the relation that reads it."""

    def nearest_pairs(
        self,
        index: IndexedColumn,
        queries: ops.Relation,
        vector: str,
        count: int,
        rows: ops.Relation | None,
    ) -> ops.Relation:
        """Add a stage that pairs queries with near rows, by `bb_place` and `bb_hit`."""

    def keyword_scores(self, leaf: ManagedTable, column: str, query: str) -> ops.Relation:
        """Add a stage that scores the rows that contain words of a query; return its rows."""
