"""The methods that barbule's queries call on their engine, beside those of Ibis.

Owns how a query is executed, explained, displayed, kept in memory and written as a data set.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.schema as sch

from barbule.executor.display.display import Display
from barbule.executor.display.preview import missing_reasons
from barbule.executor.explain import explained
from barbule.executor.ibis_methods import IbisMethods
from barbule.executor.ledger.answers import CALLS_SCHEMA, CALLS_TABLE, HIDDEN_COLUMNS
from barbule.executor.results.result_formats import MemoryRows, bind_params
from barbule.executor.results.result_set import ResultSet
from barbule.io.export_rows import ExportRows
from barbule.io.formats.writers import write
from barbule.nodes import CachedRows, SystemTable
from barbule.relations import Query
from barbule.types import storage_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.database import Database
    from barbule.executor.plan_facts import PlanFacts
    from barbule.media.library import MediaLibrary
    from barbule.planner.plan import Plan

__all__ = ["QueryMethods"]


class QueryMethods(IbisMethods):
    """An engine, as queries see it."""

    database: Database
    library: MediaLibrary
    facts: PlanFacts

    @functools.cached_property
    def display(self) -> Display:
        """Displays queries in terminals and notebooks."""
        return Display(self.library, self.facts, self.queries)

    def calls(self) -> Query:
        """Return the call ledger as a table, without the answers themselves."""
        columns = {
            name: dtype for name, dtype in CALLS_SCHEMA.items() if name not in HIDDEN_COLUMNS
        }
        return Query(SystemTable(name=CALLS_TABLE, schema=sch.Schema(columns), source=self))

    def explain(self, expr: ir.Expr) -> Plan:
        """Return the plan of an expression; it prints as a tree."""
        plan, operation = self.planner.plan(expr), self.queries.begin()
        return explained(plan, self.runner, operation, self.database.nearest)

    def collect(self, expr: ir.Expr, params: Mapping[ir.Scalar, Any] | None = None) -> ResultSet:
        """Execute an expression and return its rows as a `ResultSet`."""
        query = bind_params(expr, params)
        with self.queries.locating_errors(query):
            plan, rows = self.queries.run(query)
        reasons = functools.partial(missing_reasons, self.display, query.as_table())
        return ResultSet(rows, plan.schema, self.library, reasons)

    def hold(self, expr: ir.Table) -> CachedRows:
        """Execute an expression and keep its rows in memory; return the leaf that reads them."""
        schema = expr.schema()
        table = ibis.memtable(self.queries.arrow(expr), schema=storage_schema(schema))
        rows = MemoryRows(table.op())
        return CachedRows(name=rows.rows.name, schema=schema, source=self, cache=rows)

    def write(self, form: str, expr: ir.Table, *arguments: Any) -> Any:
        """Write the rows of an expression as a data set in the given format."""

        def batches(size: int) -> Iterator[pa.RecordBatch]:
            yield from self.to_pyarrow_batches(expr, chunk_size=size)

        return write(form, ExportRows(expr.schema(), batches, self.library), *arguments)
