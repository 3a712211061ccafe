"""The engine: the tables of one open database, and their queries, as one operation sees them.

Owns which state of the tables is seen: the committed one, or that of a transaction. The parts of
the database are in `database`, what Ibis calls in `ibis_methods`, and what queries call beside that
in `query_methods`. `plan_facts` answers the planner, `query_planner` plans queries and
`query_runner` runs them. `barbule.tables` changes rows.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NoReturn, Self

from barbule.backends.base import RID
from barbule.catalog.pending import PendingCatalog
from barbule.errors import unpicklable
from barbule.executor.database import Database
from barbule.executor.plan_facts import OperationFacts, PendingFacts, PlanFacts
from barbule.executor.plan_runner import PlanRunner
from barbule.executor.query_methods import QueryMethods
from barbule.executor.query_planner import QueryPlanner
from barbule.executor.query_runner import QueryRunner
from barbule.nodes import ManagedTable
from barbule.relations import Query
from barbule.tracing import operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import ibis.expr.operations as ops
    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.backends.base import Backend
    from barbule.catalog.catalog_reader import CatalogReader
    from barbule.catalog.records import TableRecord
    from barbule.config import Settings
    from barbule.executor.budgets.dry_run import DryRun
    from barbule.executor.calls.operation import Operation
    from barbule.executor.calls.provenance import Provenance
    from barbule.media.library import MediaLibrary
    from barbule.models.base import ModelClient
    from barbule.planner.plan import Plan
    from barbule.planner.query_vectors import IndexedColumn
    from barbule.planner.stages import KeywordStage

__all__ = ["Engine"]


@operations("collect", "execute", "hold", "write")
class Engine(QueryMethods):
    """The tables and queries of a database, as one operation sees them.

    Leaves of expressions have an engine as their source. `open` creates that of the committed
    state, which users' tables have; a verb runs on the engine that `during` returns, and a
    transaction on that of `preparing`.

    Attributes
    ----------
    backend, ledger, indexing, caller
        Parts of the database.
    catalog
        The tables as the operation sees them.
    library
        Opens and stores media for the operation.
    facts
        The planner's view of tables, indexes and the backend.
    schema_of
        Returns the columns of a managed table, as a leaf sees it.
    planner
        Plans queries, those of new rows once for the structure of their tables.
    runner, queries
        Run plans, and queries.
    """

    def __init__(
        self,
        database: Database,
        catalog: CatalogReader,
        operation: Operation | None = None,
        committed: Engine | None = None,
    ) -> None:
        self.database = database
        self.backend: Backend = database.backend
        self.ledger = database.ledger
        self.indexing = database.indexing
        self.caller = database.caller
        self.zone = database.zone
        self.catalog = catalog
        self.operation = operation
        self.library = database.library if operation is None else operation.library
        self.committed = committed or self
        self.facts = self._make_facts(database, catalog)
        self.schema_of = self.facts.schema_of
        plans = database.plans if committed is None else None
        self.planner = QueryPlanner(catalog, self.facts, plans)
        filters = None if catalog.is_pending else database.filters
        self.runner = PlanRunner(
            database.backend, catalog, database.caller, database.nearest, self._keywords, filters
        )
        self.queries = QueryRunner(
            database.backend, self.facts, self.planner, self.runner, self.begin
        )

    def _make_facts(self, database: Database, catalog: CatalogReader) -> PlanFacts:
        if self.committed is self:
            facts = PlanFacts(self, database, catalog)
            self._transaction_facts = facts.in_transactions()
            return facts
        if isinstance(catalog, PendingCatalog):
            return PendingFacts(self.committed._transaction_facts, self, catalog)
        return OperationFacts(self.committed.facts, self, catalog)

    @classmethod
    def open(
        cls,
        backend: Backend,
        library: MediaLibrary,
        client: ModelClient,
        settings: Settings,
        table_class: Callable[[ManagedTable], ir.Table],
    ) -> Self:
        """Open a database; see `Database` for the parameters."""

        def run_queries(queries: Sequence[ir.Expr], operation: Operation) -> list[object]:
            return engine.queries.run_queries(queries, operation)

        database = Database(backend, library, client, settings, table_class, run_queries)
        engine = cls(database, database.catalog)
        return engine

    def during(self, operation: Operation) -> Engine:
        """Return the engine that sees the same tables for an operation."""
        return Engine(self.database, self.catalog, operation, self.committed)

    def preparing(self, pending: PendingCatalog, operation: Operation) -> Engine:
        """Return the engine of a transaction, which sees its own changes of tables."""
        return Engine(self.database, pending, operation, self.committed)

    @contextlib.contextmanager
    def computing(self, target: Provenance) -> Iterator[Engine]:
        """Yield the engine that computes these columns; their budget is released at the end."""
        with self.begin().computing(target) as operation:
            yield self.during(operation)

    def running_dry(self, dry_run: DryRun) -> Engine:
        """Return an engine that makes no calls, but collects them."""
        return self.during(self.begin().running_dry(dry_run))

    def __repr__(self) -> str:
        return f"<barbule engine on {self.backend.name}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise unpicklable("a table or a query")

    def __barbule_identity__(self) -> str:
        """Identify the database, for functions that close over it."""
        return self.catalog.metadata.identity.database

    def close(self) -> None:
        """Close indexes, loop and connections."""
        self.database.close()

    def begin(self) -> Operation:
        """Begin the operation of a query, or return the one of which it is a part."""
        return self.database.begin() if self.operation is None else self.operation

    def _keywords(self, stage: KeywordStage) -> pa.Table:
        """Score the rows of a column by keywords, as the operation sees them."""
        return self.database.keywords.scores(stage, self.catalog, self._column_with_rids)

    def _column_with_rids(self, table_id: int, commit: int | None, column: str) -> pa.Table:
        """Read a column with the row ids."""
        return self.arrow(self.leaf(table_id, commit, hidden=True).to_expr().select(RID, column))

    # Tables and their structure

    def table_of(self, leaf: ops.Relation) -> ir.Table:
        """Create the table that users see from a leaf."""
        return self.database.table_class(leaf) if isinstance(leaf, ManagedTable) else Query(leaf)

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

    # Queries

    def plan(self, expr: ir.Expr, rows: Mapping[int, ops.Relation] | None = None) -> Plan:
        """Plan how an expression is executed."""
        return self.planner.plan(expr, rows)

    def arrow(
        self,
        expr: ir.Expr,
        rows: Mapping[int, ops.Relation] | None = None,
        staged: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Execute an expression and return its rows in storage form."""
        return self.queries.arrow(expr, rows, staged)

    def run_plan(self, plan: Plan, staged: Mapping[str, pa.Table] | None = None) -> pa.Table:
        """Run a plan and return its rows in storage form."""
        return self.runner.arrow(plan, self.begin(), staged)

    def failing_column(
        self,
        expr: ir.Expr,
        rows: Mapping[int, ops.Relation] | None = None,
        staged: Mapping[str, pa.Table] | None = None,
    ) -> str | None:
        """Find the column that cannot be computed, by computing each alone; no model is called."""
        return self.queries.failing_column(expr, rows, staged)
