"""What the engine displays: queries in terminals and notebooks, differences of versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.executor.display.notebook import query_html
from barbule.executor.display.preview import first_rows
from barbule.executor.display.terminal import print_rows
from barbule.executor.display.version_diff import diff_html, diff_text

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from barbule.executor.plan_facts import PlanFacts
    from barbule.executor.query_runner import QueryRunner
    from barbule.media.library import MediaLibrary
    from barbule.versions import Diff

__all__ = ["Display"]


class Display:
    """Displays the queries of one open database; the `QuerySource` of displays.

    Parameters
    ----------
    library
        Opens media.
    facts
        Knows the structure of tables.
    queries
        Runs queries.
    """

    def __init__(self, library: MediaLibrary, facts: PlanFacts, queries: QueryRunner) -> None:
        self.library = library
        self.arrow = queries.arrow
        self.record = facts.record
        self.errors_of = facts.errors_of
        self._queries = queries

    def show(self, expr: ir.Table, count: int) -> None:
        """Print the first rows of an expression."""
        with self._queries.locating_errors(expr):
            rows = first_rows(self, expr, count)
        print_rows(rows)

    def html(self, expr: ir.Table) -> str:
        """Render the first rows of an expression for a notebook; no function is called for it."""
        return query_html(self, expr)

    def diff_text(self, diff: Diff) -> str:
        """Write the differences between two versions."""
        return diff_text(self, diff)

    def diff_html(self, diff: Diff) -> str:
        """Render the differences between two versions, for a notebook."""
        return diff_html(self, diff)
