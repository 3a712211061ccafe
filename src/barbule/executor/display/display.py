"""What the engine displays: queries in terminals and notebooks, differences of versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.executor.display.notebook import query_html
from barbule.executor.display.preview import first_rows
from barbule.executor.display.terminal import print_rows
from barbule.executor.display.version_diff import diff_html, diff_text

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from barbule.executor.display.query_source import QuerySource
    from barbule.executor.query_runner import QueryRunner
    from barbule.versions import Diff

__all__ = ["Display"]


class Display:
    """Displays the queries of one open database.

    Parameters
    ----------
    source
        Runs queries, and opens their media.
    queries
        Adds the table and the column to errors.
    """

    def __init__(self, source: QuerySource, queries: QueryRunner) -> None:
        self._source = source
        self._queries = queries

    def show(self, expr: ir.Table, count: int) -> None:
        """Print the first rows of an expression."""
        with self._queries.locating_errors(expr):
            rows = first_rows(self._source, expr, count)
        print_rows(rows)

    def html(self, expr: ir.Table) -> str:
        """Render the first rows of an expression for a notebook; no function is called for it."""
        return query_html(self._source, expr)

    def diff_text(self, diff: Diff) -> str:
        """Write the differences between two versions."""
        return diff_text(self._source, diff)

    def diff_html(self, diff: Diff) -> str:
        """Render the differences between two versions, for a notebook."""
        return diff_html(self._source, diff)
