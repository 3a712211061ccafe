"""The facts that the planner asks for: tables, their indexes, and the backend.

Owns only this interface; the executor answers. What is derived for one plan is in `plan_builder`
and `lowering`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ibis.expr.operations as ops
    import ibis.expr.schema as sch

    from barbule.catalog.records import TableRecord
    from barbule.nodes import ManagedTable
    from barbule.planner.query_vectors import IndexedColumn

__all__ = ["PlannerFacts"]


class PlannerFacts(Protocol):
    """The tables, indexes and backend of one database, as the planner sees them.

    Attributes
    ----------
    zone
        The zone of timestamps that have none.
    """

    zone: str

    # Tables

    def record(self, leaf: ManagedTable) -> TableRecord:
        """Return the structure of a table as a leaf sees it."""

    def expression(self, text: str, commit: int | None) -> ops.Node:
        """Read a stored expression, with its leaves at a commit."""

    def has_closed_rows(self, table_id: int) -> bool:
        """Whether rows of a table have ever been updated or deleted, or may be at any time."""

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the recorded content of media, if any."""

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column, or raise if there is none."""

    # The backend

    def stored(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Create the leaf of a table in the backend."""

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Return the backend's expression for the similarity of two vectors."""
