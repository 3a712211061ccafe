"""The engine: the Ibis backend of managed tables, and the parts of one open database.

Owns those parts and the methods that Ibis calls on a backend. `plan_facts` answers the planner;
`query_planner` plans queries and `query_runner` runs them; `results` creates results.
`barbule.tables` changes rows.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import ibis
import ibis.expr.schema as sch

from barbule.backends.base import RID
from barbule.backends.routing import identity
from barbule.catalog.derivations import Derivations
from barbule.catalog.store import Catalog
from barbule.errors import UnsupportedError, unpicklable
from barbule.executor.budgets.budget import Budget
from barbule.executor.calls.caller import Caller
from barbule.executor.calls.operation import Operation
from barbule.executor.calls.resources import CallResources
from barbule.executor.concurrency.event_loop import LoopThread
from barbule.executor.display.notebook import query_html
from barbule.executor.display.preview import first_rows, missing_reasons
from barbule.executor.display.terminal import print_rows
from barbule.executor.display.version_diff import diff_html, diff_text
from barbule.executor.explain import explained
from barbule.executor.ledger.answers import CALLS_SCHEMA, CALLS_TABLE, HIDDEN_COLUMNS
from barbule.executor.ledger.call_ledger import CallLedger
from barbule.executor.plan_facts import PlanFacts
from barbule.executor.plan_runner import PlanRunner
from barbule.executor.query_planner import QueryPlanner
from barbule.executor.query_runner import QueryRunner
from barbule.executor.results.exports import EXPORT_METHODS, Exports
from barbule.executor.results.result_formats import MemoryRows, bind_params
from barbule.executor.results.result_set import ResultSet
from barbule.executor.search.filter_cache import FilterCache
from barbule.executor.search.index_sync import IndexSync
from barbule.executor.search.keyword_scores import KeywordScores
from barbule.executor.search.nearest_rows import NearestRows
from barbule.indexes.base import Graph
from barbule.io.export_rows import ExportRows
from barbule.io.formats.writers import write
from barbule.locks import Claims
from barbule.nodes import CachedRows, ManagedTable, SystemTable
from barbule.relations import Query
from barbule.tracing import operations
from barbule.types import storage_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from os import PathLike

    import ibis.expr.operations as ops
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

    from barbule.backends.base import Backend
    from barbule.catalog.records import TableRecord
    from barbule.config import Settings
    from barbule.media.library import MediaLibrary
    from barbule.models.base import ModelClient
    from barbule.planner.plan import Plan
    from barbule.planner.query_vectors import IndexedColumn
    from barbule.versions import Diff

__all__ = ["Engine"]

_SQL_ROWS = "bb_sql_rows"


@operations("collect", "execute", "hold", "write")
class Engine:
    """An open database with its catalog, ledger, media and indexes.

    Parameters
    ----------
    table_class
        Creates the table that users see from a leaf.

    Attributes
    ----------
    zone
        The time zone of timestamps that have none.
    facts
        The planner's view of tables, indexes and the backend.
    planner
        Plans queries, those of new rows once for the structure of their tables.
    """

    name = "barbule"

    def __init__(
        self,
        backend: Backend,
        library: MediaLibrary,
        client: ModelClient,
        vectors: str,
        table_class: Callable[[ManagedTable], ir.Table],
        settings: Settings,
    ) -> None:
        self.backend = backend
        self.zone = settings.timezone
        self.catalog = Catalog(backend)
        ledger_settings, search = settings.ledger, settings.search
        self.ledger = CallLedger(
            backend.separate(), ledger_settings.max_age, ledger_settings.max_bytes
        )
        self.library = library
        library.deletions = lambda: self.catalog.media_deletion
        library.isolation.former_readers = lambda: self.catalog.identity.readers
        graph = Graph(search.m, search.ef_construction, search.ef_search)
        self.indexing = IndexSync(vectors, backend, self.catalog, graph)
        self.nearest = NearestRows(backend, self.catalog, self.indexing, search.max_matrix_bytes)
        self._table_class = table_class
        self._loop = LoopThread()
        self.operation = Operation()
        self.caller = Caller(
            self.ledger,
            CallResources(library, client, self._loop, self._run_queries),
            self.operation,
            Budget.of_session(settings.budget),
            _call_claims(settings),
            has_former_keys=self.catalog.identity.former_keys,
        )
        derivations = Derivations(self.catalog)
        self.facts = PlanFacts(
            self, backend, self.catalog, self.ledger, self.nearest, derivations, self.zone
        )
        self.planner = QueryPlanner(self.catalog, self.facts, derivations)
        self.keywords = KeywordScores(backend, self.catalog, self._column_with_rids, self.arrow)
        self._filters = FilterCache(
            self.catalog, self._first_column, is_single_writer=not backend.many_writers
        )
        self.runner = PlanRunner(
            backend, self.catalog, self.caller, self.nearest, self.keywords, self._filters
        )
        self._query_runner = QueryRunner(backend, self.facts, self.planner, self.runner)
        self._exports = Exports(backend, self.planner, self.runner, self._query_runner)

    def __repr__(self) -> str:
        return f"<barbule engine on {self.backend.name}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise unpicklable("a table or a query")

    def __barbule_identity__(self) -> str:
        """Identify the database, for functions that close over it."""
        return self.catalog.identity.database

    def close(self) -> None:
        """Close indexes, loop and connections."""
        self._loop.stop()
        self.caller.close()
        self.indexing.close()
        self.nearest.clear()
        self._filters.clear()
        self.ledger.close()
        self.backend.disconnect()

    def _column_with_rids(self, table_id: int, commit: int | None, column: str) -> ir.Table:
        """Read a column with the row ids."""
        return self.leaf(table_id, commit, hidden=True).to_expr().select(RID, column)

    def _run_queries(self, queries: Sequence[ir.Expr]) -> list[Any]:
        """Run the expressions that a query function returned."""
        return self._query_runner.run_queries(queries)

    def _first_column(self, rows: ops.Relation) -> pa.Array:
        """Read the first column of stored rows."""
        return self.backend.arrow(rows.to_expr(), {}).column(0).combine_chunks()

    # Tables and their structure

    def table_of(self, leaf: ops.Relation) -> ir.Table:
        """Create the table that users see from a leaf."""
        return self._table_class(leaf) if isinstance(leaf, ManagedTable) else Query(leaf)

    def schema_of(self, leaf: ManagedTable) -> sch.Schema:
        """Return the columns of a managed table, as a leaf sees it."""
        return self.facts.schema_of(leaf)

    def leaf(self, table_id: int, commit: int | None = None, hidden: bool = False) -> ManagedTable:
        """Create the leaf of a table."""
        return self.facts.leaf(table_id, commit, hidden)

    def record(self, leaf: ManagedTable) -> TableRecord:
        """Return the structure of a table as a leaf sees it."""
        return self.facts.record(leaf)

    def expression(self, text: str, commit: int | None) -> Any:
        """Read a stored expression, with its leaves at a commit."""
        return self.facts.expression(text, commit)

    def stored(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Create the leaf of a table in the backend."""
        return self.facts.stored(name, schema)

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column."""
        return self.facts.index_of(leaf, column, name)

    def calls(self) -> Query:
        """Return the call ledger as a table, without the answers themselves."""
        columns = {
            name: dtype for name, dtype in CALLS_SCHEMA.items() if name not in HIDDEN_COLUMNS
        }
        return Query(SystemTable(name=CALLS_TABLE, schema=sch.Schema(columns), source=self))

    # Queries

    def plan(self, expr: ir.Expr, rows: Mapping[int, ops.Relation] | None = None) -> Plan:
        """Plan how an expression is executed."""
        return self.planner.plan(expr, rows)

    def explain(self, expr: ir.Expr) -> Plan:
        """Return the plan of an expression; it prints as a tree."""
        return explained(self.planner.plan(expr), self.runner, self.nearest)

    def arrow(
        self,
        expr: ir.Expr,
        rows: Mapping[int, ops.Relation] | None = None,
        staged: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Execute an expression and return its rows in storage form."""
        return self._query_runner.arrow(expr, rows, staged)

    def failing_column(
        self,
        expr: ir.Expr,
        rows: Mapping[int, ops.Relation] | None = None,
        staged: Mapping[str, pa.Table] | None = None,
    ) -> str | None:
        """Find the column that cannot be computed, by computing each alone; no model is called."""
        return self._query_runner.failing_column(expr, rows, staged)

    def collect(self, expr: ir.Expr, params: Mapping[ir.Scalar, Any] | None = None) -> ResultSet:
        """Execute an expression and return its rows as a `ResultSet`."""
        query = bind_params(expr, params)
        with self._query_runner.locating_errors(query):
            plan, rows = self._query_runner.run(query)
        reasons = functools.partial(missing_reasons, self, query.as_table())
        return ResultSet(rows, plan.schema, self.library, reasons)

    def hold(self, expr: ir.Table) -> CachedRows:
        """Execute an expression and keep its rows in memory; return the leaf that reads them."""
        schema = expr.schema()
        rows = MemoryRows(ibis.memtable(self.arrow(expr), schema=storage_schema(schema)).op())
        return CachedRows(name=rows.rows.name, schema=schema, source=self, cache=rows)

    def write(self, form: str, expr: ir.Table, *arguments: Any) -> Any:
        """Write the rows of an expression as a data set in the given format."""

        def batches(size: int) -> Iterator[pa.RecordBatch]:
            yield from self.to_pyarrow_batches(expr, chunk_size=size)

        return write(form, ExportRows(expr.schema(), batches, self.library), *arguments)

    # Display

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""
        return self.facts.errors_of(leaf, column)

    def show(self, expr: ir.Table, count: int) -> None:
        """Print the first rows of an expression."""
        with self._query_runner.locating_errors(expr):
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

    # The methods that Ibis calls on a backend. Ibis assumes that an expression has one backend: the
    # database's own is equal to the engine.

    def __eq__(self, other: object) -> bool:
        return self is other or getattr(other, "_adapter", None) is self.backend

    def __hash__(self) -> int:
        return hash(identity(self.backend))

    def __getattr__(self, name: str) -> Any:
        if name in EXPORT_METHODS:
            return lambda expr, /, *args, **kwargs: self._exports.export(name, expr, args, kwargs)
        if name.startswith("__") or "backend" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.backend.ibis, name)

    def execute(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **_options: Any,
    ) -> Any:
        """Execute an expression and return it as Ibis does: a pandas frame, series or value."""
        return self._exports.to_pandas(expr, params=params, limit=limit, nullable=False)

    def to_pandas(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **_options: Any,
    ) -> Any:
        """Execute an expression and return it as a pandas frame, series or value.

        Integers with missing values become pandas' `Int64`.
        """
        return self._exports.to_pandas(expr, params=params, limit=limit)

    def to_pandas_batches(
        self, expr: ir.Expr, /, **options: Any
    ) -> Iterator[pd.DataFrame | pd.Series]:
        """Execute an expression and return its rows as pandas frames or series, in batches."""
        return self._exports.to_pandas_batches(expr, **options)

    def to_pyarrow(
        self, expr: ir.Expr, /, **options: Any
    ) -> pa.Table | pa.ChunkedArray | pa.Scalar:
        """Execute an expression and return it as an Arrow table, array or scalar."""
        return self._exports.to_pyarrow(expr, **options)

    def to_pyarrow_batches(
        self,
        expr: ir.Expr,
        /,
        *,
        chunk_size: int = 1_000_000,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **_options: Any,
    ) -> pa.RecordBatchReader:
        """Execute an expression and return its rows as a stream of record batches."""
        return self._exports.to_pyarrow_batches(
            expr, chunk_size=chunk_size, params=params, limit=limit
        )

    def to_polars(self, expr: ir.Expr, /, **options: Any) -> Any:
        """Execute an expression and return it as a polars frame, series or value."""
        return self._exports.to_polars(expr, **options)

    def to_xlsx(self, expr: ir.Table, /, path: str | PathLike[str], **options: Any) -> None:
        """Execute an expression and write its rows as an Excel file."""
        self._exports.to_xlsx(expr, path, **options)

    def compile(self, expr: ir.Expr, /, **kwargs: Any) -> str:
        """Return the SQL of an expression that calls no function."""
        plan = self.planner.plan(expr)
        if plan.stages:
            raise UnsupportedError(
                "an expression that calls functions does not compile to a single SQL statement.",
                hint="Use explain() to see how it runs.",
            )
        return self.backend.ibis.compile(plan.final.to_expr(), **kwargs)

    def _get_sql_string_view_schema(self, *, name: str, table: ir.Table, query: str) -> sch.Schema:
        """Tell Ibis the columns of a SQL query over an expression; nothing is executed."""
        schema = storage_schema(table.schema())
        leaf = self.stored(_SQL_ROWS, schema).to_expr()
        with self.backend.staging({_SQL_ROWS: schema.to_pyarrow().empty_table()}) as backend:
            return backend._get_sql_string_view_schema(name=name, table=leaf, query=query)


def _call_claims(settings: Settings) -> Claims | None:
    """Return the claims for calls of processes that share a database."""
    url = urlsplit(settings.backend)
    if url.scheme == "duckdb":
        file = Path(url.path)
        return Claims(file.with_name(f"{file.name}.asking")) if file.name else None
    name = hashlib.sha256(settings.backend.encode()).hexdigest()[:16]
    return Claims(settings.home / "asking" / name)
