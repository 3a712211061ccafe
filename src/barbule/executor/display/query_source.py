"""The interface of the engine for displays: rows, the structure of tables, and media.

Owns only this Protocol, so that displays do not import what runs queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.media.library import MediaLibrary
    from barbule.nodes import ManagedTable

__all__ = ["QuerySource"]


class QuerySource(Protocol):
    """Runs queries of one open database, and opens their media."""

    @property
    def library(self) -> MediaLibrary:
        """Opens media."""

    def arrow(self, expr: ir.Table, /) -> pa.Table:
        """Execute an expression and return its rows in storage form."""

    def record(self, leaf: ManagedTable) -> TableRecord:
        """Return the structure of a table as a leaf sees it."""

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""
