"""Queries of one open database: planned and run so that both see the same commit.

Owns when a query has to be rerun, and which table and column its errors name.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ibis.expr.types as ir

from barbule.errors import BarbuleError, DataError, MediaError, UnsupportedError
from barbule.executor.plan_runner import first_final_search
from barbule.nodes import FunctionCall, ManagedTable
from barbule.planner.stages import CandidateStage
from barbule.relations.value_origins import origin
from barbule.types import holds_media

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import ibis.expr.operations as ops
    import pyarrow as pa

    from barbule.backends.base import Connection
    from barbule.executor.calls.operation import Operation
    from barbule.executor.plan_facts import PlanFacts
    from barbule.executor.plan_runner import PlanRunner
    from barbule.executor.query_planner import QueryPlanner
    from barbule.planner.plan import Plan

    RowRelations = Mapping[int, ops.Relation]
    Staged = Mapping[str, pa.Table]

__all__ = ["QueryRunner"]


class QueryRunner:
    """Runs queries as one operation sees the database.

    Parameters
    ----------
    begin
        Begins the operation of a query, or returns the one of which it is a part.
    """

    def __init__(
        self,
        connection: Connection,
        facts: PlanFacts,
        planner: QueryPlanner,
        plan_runner: PlanRunner,
        begin: Callable[[], Operation],
    ) -> None:
        self._connection = connection
        self._facts = facts
        self._planner = planner
        self._plan_runner = plan_runner
        self.begin = begin

    def arrow(
        self, expr: ir.Expr, rows: RowRelations | None = None, staged: Staged | None = None
    ) -> pa.Table:
        """Execute an expression and return its rows in storage form.

        Parameters
        ----------
        rows
            The relations of new rows, by table id.
        staged
            Arrow tables that the query reads by name.
        """
        return self.run(expr, rows, staged)[1]

    def run(
        self, expr: ir.Expr, rows: RowRelations | None = None, staged: Staged | None = None
    ) -> tuple[Plan, pa.Table]:
        """Plan an expression and execute it."""
        operation = self.begin()

        def plan_and_run() -> tuple[Plan, pa.Table]:
            with self._connection.use():
                plan = self._planner.plan(expr, rows)
                if not plan.stages:
                    return plan, self._plan_runner.arrow(plan, operation, staged)
            return plan, self._plan_runner.arrow(plan, operation, staged)

        return self._consistent(plan_and_run)

    def _consistent(self, run: Callable[[], tuple[Plan, pa.Table]]) -> tuple[Plan, pa.Table]:
        """Plan and run; repeat if a commit in between invalidates the plan.

        A plan without stages depends on the structure of tables, and on no row having been closed
        since it was made. If functions are called for the nearest rows, these may have been deleted
        since they were found.
        """
        if self._connection.many_writers:  # plans check the lifetime of each row
            return run()
        while True:
            plan_epoch, stamp = self._connection.plan_epoch(), self._connection.stamp()
            plan, rows = run()
            searches = any(isinstance(stage, CandidateStage) for stage in plan.stages)
            if plan.stages and not searches:
                return plan, rows
            if not searches or first_final_search(plan) is not None:
                is_valid = self._connection.plan_epoch() == plan_epoch
            else:
                is_valid = self._connection.stamp() == stamp
            if is_valid:
                return plan, rows

    def run_queries(self, queries: Sequence[ir.Expr], operation: Operation) -> list[Any]:
        """Run the expressions that a query function returned, and return plain values."""
        plans = [self._planner.plan(query) for query in queries]
        self._plan_runner.prefetch(plans, operation)
        results: list[Any] = []
        for query, plan in zip(queries, plans, strict=True):
            rows = self._plan_runner.arrow(plan, operation)
            if isinstance(query, ir.Table):
                results.append(rows.to_pylist())
            else:
                values = rows.column(0).to_pylist()
                results.append(values[0] if isinstance(query, ir.Scalar) else values)
        return results

    # Errors

    @contextmanager
    def locating_errors(self, expr: ir.Expr) -> Iterator[None]:
        """Add the table to errors, and the column that the database could not compute."""
        try:
            yield
        except (DataError, UnsupportedError) as error:
            tables = {leaf.name for leaf in expr.op().find(ManagedTable)}
            error.at(table=tables.pop() if len(tables) == 1 else None)
            if error.column is None and isinstance(error, DataError):
                error.column = self.failing_column(expr)
                error.hint = f"{error.hint or ''}{self._workaround(expr, error.column)}"
            raise
        except MediaError as error:
            _locate_media_error(error, expr)
            raise

    def _workaround(self, expr: ir.Expr, column: str | None) -> str:
        """Return how to read a table with a column that cannot be computed for some row."""
        for leaf in expr.op().find(ManagedTable):
            columns = self._facts.record(leaf).columns
            if any(c.name == column and c.kind == "virtual" for c in columns):
                return (
                    " The column is computed when rows are read. Read the other columns with "
                    f"t.drop({column!r}); update() or delete() the rows that fail, or replace the "
                    'expression with add_computed_column(..., if_exists="replace").'
                )
        return ""

    def failing_column(
        self, expr: ir.Expr, rows: RowRelations | None = None, staged: Staged | None = None
    ) -> str | None:
        """Find the column that cannot be computed, by computing each alone; no model is called."""
        if self._planner.plan(expr, rows).stages:
            return None
        table = expr.as_table()
        failing = [name for name in table.columns if self._fails(table[[name]], rows, staged)]
        is_certain = len(failing) < len(table.columns) or len(failing) == 1
        return failing[0] if failing and is_certain else None

    def _fails(self, expr: ir.Table, rows: RowRelations | None, staged: Staged | None) -> bool:
        try:
            self.arrow(expr, rows, staged)
        except BarbuleError:
            return True
        return False


def _locate_media_error(error: MediaError, expr: ir.Expr) -> None:
    """Add the table and the column of a media file that a function could not read."""
    if error.row is None:
        return
    tables = {leaf.name for leaf in expr.op().find(ManagedTable)}
    if len(tables) != 1:
        return
    columns = {
        value_origin[1]
        for call in expr.op().find(FunctionCall)
        for value in call.values
        if holds_media(value.dtype) and (value_origin := origin(value)) is not None
    }
    error.at(table=tables.pop(), column=columns.pop() if len(columns) == 1 else None)
