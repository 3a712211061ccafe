"""The engine: what stands behind the leaves of managed tables.

Owns the parts of one open database and answers for them: to Ibis it is the backend of its
tables (everything an expression can be asked to do runs through here), to the planner it is the
source of facts. How rows change is the business of `barbule.tables`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import ibis
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.backends.routing import identity
from barbule.catalog import codec
from barbule.catalog.derivations import Derivations
from barbule.catalog.store import Catalog
from barbule.errors import BarbuleError, DataError, MediaError, UnsupportedError, unpicklable
from barbule.executor.budgets.budget import Budget
from barbule.executor.budgets.forecast import forecast
from barbule.executor.calls.caller import Caller, Tally
from barbule.executor.calls.event_loop import LoopThread
from barbule.executor.display.notebook import query_html
from barbule.executor.display.preview import first_rows, reasons_of
from barbule.executor.display.terminal import print_rows
from barbule.executor.display.version_diff import diff_html, diff_text
from barbule.executor.ledger.call_ledger import NAME as CALLS
from barbule.executor.ledger.call_ledger import SCHEMA as CALLS_SCHEMA
from barbule.executor.ledger.call_ledger import UNSHOWN, Ledger
from barbule.executor.results.data_frames import pandas_of
from barbule.executor.results.excel import write_excel
from barbule.executor.results.result_formats import (
    Held,
    disk_errors,
    limited,
    polars_of,
    with_values,
    write_text,
)
from barbule.executor.results.result_set import ResultSet
from barbule.executor.run import Runner, first_of_searches
from barbule.executor.search.filter_cache import Qualifying
from barbule.executor.search.index_lookup import embedded_by, index_over
from barbule.executor.search.index_sync import Indexing
from barbule.executor.search.keyword_scores import Keywords
from barbule.executor.search.nearest_rows import Nearest
from barbule.functions.registry import registrations
from barbule.indexes.base import Graph
from barbule.io.export_rows import ExportRows
from barbule.io.formats.writers import write
from barbule.io.output_files import target_file
from barbule.locks import Claims
from barbule.nodes import CachedRows, FunctionCall, ManagedTable, SystemTable, managed_table
from barbule.planner.lowering.table_schemas import hidden_columns, visible_schema
from barbule.planner.plan_cache import PlanCache
from barbule.planner.planner import make_plan
from barbule.planner.query_vectors import IndexedColumn
from barbule.planner.stages import CandidateStage, NearestStage
from barbule.relations import Query
from barbule.relations.promotion import promoted
from barbule.relations.value_origins import origin
from barbule.types import storage_schema
from barbule.types.json_marks import mark_json, mark_json_schema
from barbule.values.cells import holds_media

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from barbule.backends.base import Backend
    from barbule.catalog.records import TableRecord
    from barbule.config import Settings
    from barbule.media.library import MediaLibrary
    from barbule.models.base import ModelClient
    from barbule.planner.plan import Plan
    from barbule.planner.stages import Stage
    from barbule.versions import Diff

__all__ = ["Engine"]

_SQL_ROWS = "bb_sql_rows"


@dataclass(frozen=True)
class _KnownPlan:
    """A plan, the functions and tables that it goes by, and tables whose live rows it reads."""

    plan: Plan
    functions: int
    tables: tuple[int, ...]
    rows_read: tuple[int, ...]


class _NotingFacts:
    """The facts of an engine; what a plan reads of live rows is noted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.rows_read: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def track_rows_read(self, table_id: int) -> None:
        self.rows_read.add(table_id)


# What Ibis asks of a backend for an expression; each is handed on with the lowered expression.
_EXPORTERS = {
    "to_csv",
    "to_delta",
    "to_json",
    "to_parquet",
    "to_parquet_dir",
    "to_torch",
}
_ONE_FILE = {"to_csv", "to_json", "to_parquet"}


class Engine:
    """An open database with its catalog, ledger, media and indexes.

    Parameters
    ----------
    table_class
        Makes the table that users see from a leaf.

    Attributes
    ----------
    zone
        The zone of moments that have none.
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
        self.ledger = Ledger(backend.separate(), settings.ledger.max_age, settings.ledger.max_bytes)
        self.library = library
        library.deletions = lambda: self.catalog.media_deletion
        search = settings.search
        graph = Graph(search.m, search.ef_construction, search.ef_search)
        self.indexing = Indexing(vectors, backend, self.catalog, graph)
        self.nearest = Nearest(backend, self.catalog, self.indexing, search.max_matrix_bytes)
        self._table_class = table_class
        self._loop = LoopThread()
        self.caller = Caller(
            self.ledger,
            library,
            client,
            self._loop,
            self._run_queries,
            Budget.of_session(settings.budget),
            _claims(settings),
            self.catalog.identity.former_keys,
        )
        self.keywords = Keywords(backend, self.catalog, self._identified, self.arrow)
        self._qualifying = Qualifying(self.catalog, self._first, alone=not backend.many_writers)
        self.runner = Runner(
            backend,
            self.caller,
            self.nearest.search,
            self.nearest.pairs,
            self.head,
            self.keywords.scores,
            self._qualifying,
            self._snapshot,
        )
        self._derivations = Derivations(self.catalog)
        self._plans = PlanCache()

    def __repr__(self) -> str:
        return f"<barbule engine on {self.backend.name}>"

    # For Ibis an expression has one backend: the database's own is the same as the engine.

    def __eq__(self, other: object) -> bool:
        return self is other or getattr(other, "_adapter", None) is self.backend

    def __hash__(self) -> int:
        return hash(identity(self.backend))

    # What the leaves ask

    def table_of(self, leaf: Any) -> ir.Table:
        """Make the table that users see of a leaf."""
        return self._table_class(leaf) if isinstance(leaf, ManagedTable) else Query(leaf)

    def schema_of(self, leaf: ManagedTable) -> sch.Schema:
        """Return the columns of a managed table as a leaf sees it."""
        key = (leaf.table_id, leaf.commit, leaf.hidden)
        derive = self._hidden_schema_of if leaf.hidden else self._schema_of
        return self._derivations.get(key, lambda: derive(leaf), lambda _schema: (leaf.table_id,))

    def _schema_of(self, leaf: ManagedTable) -> sch.Schema:
        return visible_schema(self.record(leaf), leaf.commit, self)

    def _hidden_schema_of(self, leaf: ManagedTable) -> sch.Schema:
        shown = self.schema_of(leaf.copy(hidden=False))
        return sch.Schema({**shown, **hidden_columns(self.record(leaf))})

    def leaf(self, table_id: int, commit: int | None = None, hidden: bool = False) -> ManagedTable:
        """Make the leaf of a table."""
        name = self.catalog.record(table_id, commit).name
        return managed_table(name, self, table_id, commit=commit, hidden=hidden)

    def _identified(self, table_id: int, commit: int | None, column: str) -> ir.Table:
        """Read a column with the identities of its rows."""
        rows = self.leaf(table_id, commit, hidden=True).to_expr()
        return rows.select(RID, column)

    def _first(self, rows: ops.Relation) -> pa.Array:
        """Read the first column of stored rows."""
        return self.backend.arrow(rows.to_expr(), {}).column(0).combine_chunks()

    # What the planner asks

    def record(self, leaf: ManagedTable) -> TableRecord:
        """Return the structure of a table as a leaf sees it."""
        return self.catalog.record(leaf.table_id, leaf.commit)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise unpicklable("a table or a query")

    def __barbule_identity__(self) -> str:
        """Tell the database from others, for functions that close over it."""
        return self.catalog.identity.database

    def expression(self, text: str, commit: int | None) -> Any:
        """Read a stored expression, its leaves seen at a commit."""
        return self._derivations.get(
            (text, commit),
            lambda: self._load(text, commit),
            lambda loaded: (leaf.table_id for leaf in loaded.find(ManagedTable)),
        )

    def _load(self, text: str, commit: int | None) -> Any:
        return promoted(codec.load(text, lambda table, _, hidden: self.leaf(table, commit, hidden)))

    def stored(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Make the leaf of a table in the backend."""
        if name == CALLS:
            self.ledger.settle()  # it is going to be read
        return self.backend.table(name, schema)

    def has_closed_rows(self, table_id: int) -> bool:
        """Whether rows of a table have ever been updated or deleted, or may be at any moment."""
        return self.backend.many_writers or self.catalog.has_closed_rows(table_id)

    def head(self) -> int:
        """Return the latest commit."""
        return self.catalog.head

    def track_rows_read(self, table_id: int) -> None:
        """Note that the change which is being prepared goes by the live rows of a table."""
        self.catalog.track_rows_read(table_id)

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Make the backend's similarity of two vectors."""
        return self.backend.similarity(left, right, metric)

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column."""
        record = self.record(leaf)

        def read(text: str) -> Any:
            return self.expression(text, leaf.commit)

        index = index_over(record, column, name, read)
        vector = record.column_by_id(index.embedding)
        scanned = self._scanned(leaf, record)
        ready = not scanned and self.nearest.ready(record, index)
        if not scanned and not ready:
            scanned = "the vectors are too many to be kept in memory, and no index can be asked"
        return IndexedColumn(
            table_id=record.id,
            table=record.name,
            name=index.name,
            vector=vector.name,
            kind=vector.dtype,
            metric=index.metric,
            embeddings=embedded_by(record, index, read),
            ready=ready,
            in_memory=ready and self.nearest.fits(record, index),
            scan_reason=scanned,
        )

    def _scanned(self, leaf: ManagedTable, record: TableRecord) -> str:
        """Say why rows are not the live ones of a table of its own, which an index may hold."""
        if record.origin is not None:
            return "it is a branch"
        if leaf.commit is not None:
            return "it is an old version"
        return "the table is being changed" if self.catalog.pending else ""

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""
        known = self.record(leaf).column(column)
        return known.error_name if known and known.fallible else None

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with what was recorded of media, if it has any."""
        record = self.record(leaf)
        known = record.column(column)
        return known.content_name if known and record.column(known.content_name) else None

    # Running

    def plan(self, expr: ir.Expr, rows: Mapping[int, ops.Relation] | None = None) -> Plan:
        """Plan how an expression is computed."""
        root = expr.as_table().op()
        if self.catalog.pending:  # what it has read is compared when the change is published
            return make_plan(root, self, rows)
        self.catalog.refresh()
        while True:
            structure = self.catalog.structure
            try:
                plan = self._planned(root, rows)
            except Exception:
                if structure == self.catalog.structure:
                    raise
                continue  # it has gone by the structure of tables at two moments
            if structure == self.catalog.structure:
                return plan

    def _planned(self, root: ops.Relation, rows: Mapping[int, ops.Relation] | None) -> Plan:
        if rows is not None:
            return make_plan(root, self, rows)
        moment = self.catalog.structure, registrations()
        return self._plans.plan(root, moment, lambda: make_plan(root, self))

    @contextmanager
    def _snapshot(self) -> Iterator[int]:
        """Let the calling thread read at one commit, and give it."""
        with self.backend.snapshot() as commit:
            self.catalog.load_until(commit)
            yield commit

    def plan_once(
        self, key: Hashable, query: Callable[[], ir.Table], rows: Mapping[int, ops.Relation]
    ) -> Plan:
        """Plan a query of new rows, once for the structure of the tables that it reads.

        Parameters
        ----------
        key
            Tells the query from others, as long as that structure is the same.
        rows
            The relations of new rows, by table id.
        """

        def derive() -> _KnownPlan:
            root = query().op()
            facts = _NotingFacts(self)
            plan = make_plan(root, facts, rows)
            tables = (leaf.table_id for leaf in root.find(ManagedTable))
            return _KnownPlan(plan, functions, (*rows, *tables), tuple(facts.rows_read))

        whole, functions = ("plan", key, tuple(rows.items())), registrations()
        known = self._derivations.get(whole, derive, lambda known: known.tables)
        if known.functions != functions:
            self._derivations.forget(whole)
            known = self._derivations.get(whole, derive, lambda known: known.tables)
        self.catalog.track_rows_read(*known.rows_read)
        return known.plan

    def _settled(self, run: Callable[[], tuple[Plan, pa.Table]]) -> tuple[Plan, pa.Table]:
        """Plan and run; again where a commit came between the two that the plan is wrong for.

        A plan without stages counts on the structure of tables, and on no row having been closed
        since it was made. The nearest rows may have gone since they were found, where functions
        are called for them.
        """
        if self.backend.many_writers:  # plans look at the life of each row
            return run()
        while True:
            unsettled, before = self.backend.plan_epoch(), self.backend.stamp()
            plan, rows = run()
            searched = any(isinstance(stage, CandidateStage) for stage in plan.stages)
            if plan.stages and not searched:
                return plan, rows
            whole = not searched or first_of_searches(plan) is not None
            now = self.backend.plan_epoch() if whole else self.backend.stamp()
            if now == (unsettled if whole else before):
                return plan, rows

    def arrow(
        self,
        expr: ir.Expr,
        rows: Mapping[int, ops.Relation] | None = None,
        staged: Mapping[str, pa.Table] | None = None,
    ) -> pa.Table:
        """Compute an expression and return its rows in storage form."""
        return self._run(expr, rows, staged)[1]

    def computed(self, plan: Plan, staged: Mapping[str, pa.Table]) -> pa.Table:
        """Run the plan of a query of new rows."""
        return self.runner.arrow(plan, staged)

    def _run(
        self,
        expr: ir.Expr,
        rows: Mapping[int, ops.Relation] | None = None,
        staged: Mapping[str, pa.Table] | None = None,
    ) -> tuple[Plan, pa.Table]:
        def run() -> tuple[Plan, pa.Table]:
            with self.backend.use():
                plan = self.plan(expr, rows)
                if not plan.stages:
                    return plan, self.runner.arrow(plan, staged)
            return plan, self.runner.arrow(plan, staged)

        return self._settled(run)

    @contextmanager
    def _naming(self, expr: ir.Expr) -> Iterator[None]:
        """Name the table, and the column that the database could not compute."""
        try:
            yield
        except (DataError, UnsupportedError) as error:
            tables = {leaf.name for leaf in expr.op().find(ManagedTable)}
            error.at(table=tables.pop() if len(tables) == 1 else None)
            if error.column is None and isinstance(error, DataError):
                error.column = self.failing(expr)
                error.hint = f"{error.hint or ''}{self._way_out(expr, error.column)}"
            raise
        except MediaError as error:
            self._name_medium(error, expr)
            raise

    def _name_medium(self, error: MediaError, expr: ir.Expr) -> None:
        """Name the table and the column of a medium that a function of a query could not read."""
        if error.row is None:
            return
        tables = {leaf.name for leaf in expr.op().find(ManagedTable)}
        if len(tables) != 1:
            return
        read = {
            found[1]
            for call in expr.op().find(FunctionCall)
            for value in call.values
            if holds_media(value.dtype) and (found := origin(value)) is not None
        }
        error.at(table=tables.pop(), column=read.pop() if len(read) == 1 else None)

    def _way_out(self, expr: ir.Expr, column: str | None) -> str:
        """Say how a table is read of which a column cannot be computed for some row."""
        for leaf in expr.op().find(ManagedTable):
            if any(c.name == column and c.kind == "virtual" for c in self.record(leaf).columns):
                return (
                    f" The column is computed when rows are read: t.drop({column!r}) reads the "
                    "others; update() or delete() such rows, or give add_computed_column() an "
                    'expression that takes them, with if_exists="replace".'
                )
        return ""

    def failing(
        self,
        expr: ir.Expr,
        rows: Mapping[int, ops.Relation] | None = None,
        staged: Mapping[str, pa.Table] | None = None,
    ) -> str | None:
        """Find the column that cannot be computed, by asking for each alone; no model is asked."""
        if self.plan(expr, rows).stages:
            return None
        table = expr.as_table()
        failing = [name for name in table.columns if self._fails(table[[name]], rows, staged)]
        alone = len(failing) < len(table.columns) or len(failing) == 1
        return failing[0] if failing and alone else None

    def _fails(
        self,
        expr: ir.Table,
        rows: Mapping[int, ops.Relation] | None,
        staged: Mapping[str, pa.Table] | None,
    ) -> bool:
        try:
            self.arrow(expr, rows, staged)
        except BarbuleError:
            return True
        return False

    def collect(self, expr: ir.Expr, params: Mapping[Any, Any] | None = None) -> ResultSet:
        """Compute an expression and return its rows as a `ResultSet`."""
        asked = with_values(expr, params)
        with self._naming(asked):
            plan, rows = self._run(asked)
        reasons = functools.partial(reasons_of, self, asked.as_table())
        return ResultSet(rows, plan.schema, self.library, reasons)

    def show(self, expr: ir.Table, count: int) -> None:
        """Print the first rows of an expression."""
        with self._naming(expr):
            rows = first_rows(self, expr, count)
        print_rows(rows)

    def html(self, expr: ir.Table) -> str:
        """Draw the first rows of an expression for a notebook; nothing is called for it."""
        return query_html(self, expr)

    def diff_text(self, diff: Diff) -> str:
        """Write what differs between two versions."""
        return diff_text(self, diff)

    def diff_html(self, diff: Diff) -> str:
        """Draw what differs between two versions, for a notebook."""
        return diff_html(self, diff)

    def explain(self, expr: ir.Expr) -> Plan:
        """Return the plan of an expression; it prints as a tree."""
        plan = forecast(self.plan(expr), self.runner)
        return replace(plan, stages=tuple(map(self._explained, plan.stages)))

    def _explained(self, stage: Stage) -> Stage:
        """Tell of a search which way it goes, as its filters keep so many rows now."""
        if isinstance(stage, NearestStage):
            return replace(stage, strategy="compared exactly with vectors in memory, all together")
        if not isinstance(stage, CandidateStage):
            return stage
        rows = self.runner.qualifying(stage, {})
        way = self.nearest.way(stage, None if rows is None else len(rows))
        return replace(stage, strategy=str(way))

    def _run_queries(self, queries: Sequence[ir.Expr]) -> list[Any]:
        """Run the expressions that a query function returned, and give plain values."""
        plans = [self.plan(query) for query in queries]
        self.runner.prefetch(plans)
        results = []
        for query, plan in zip(queries, plans, strict=True):
            rows = self.runner.arrow(plan)
            if isinstance(query, ir.Table):
                results.append(rows.to_pylist())
            else:
                values = rows.column(0).to_pylist()
                results.append(values[0] if isinstance(query, ir.Scalar) else values)
        return results

    @contextmanager
    def tallying(self) -> Iterator[Tally]:
        """Count what functions are asked meanwhile."""
        outer = self.caller.tally
        self.caller.tally = tally = Tally()
        try:
            yield tally
        finally:
            self.caller.tally = outer
            outer.add(tally)

    # As Ibis sees it

    @contextmanager
    def _lowered(self, expr: ir.Expr) -> Iterator[tuple[Any, ir.Expr]]:
        """Run the stages of an expression; give the Ibis backend and what is left for it."""
        with contextlib.ExitStack() as held:
            held.enter_context(self.backend.use())
            plan = self.plan(expr)
            if plan.stages:
                held.close()
            ready = self.runner.stages(plan)
            held.enter_context(self.backend.use())
            yield from self._handed_on(expr, plan, ready)

    def _handed_on(self, expr: ir.Expr, plan: Plan, ready: dict[str, pa.Table]) -> Iterator[Any]:
        final = plan.final.to_expr()
        with self.backend.staging(ready) as backend:
            if isinstance(expr, ir.Column):
                yield backend, final[final.columns[0]]
            elif isinstance(expr, ir.Scalar):
                yield backend, final.as_scalar().name(final.columns[0])
            else:
                yield backend, final

    def __getattr__(self, name: str) -> Any:
        if name in _EXPORTERS:
            return lambda expr, /, *args, **kwargs: self._export(name, expr, args, kwargs)
        if name.startswith("__") or "backend" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.backend.ibis, name)

    def to_pyarrow(self, expr: ir.Expr, /, **options: Any) -> Any:
        """Compute an expression and return it as an Arrow table, array or scalar.

        Columns of Json are texts that are marked as Arrow's `arrow.json`.
        """
        rows = self._unmarked(expr, **options)
        return mark_json(rows, expr.schema()) if isinstance(expr, ir.Table) else rows

    def _unmarked(self, expr: ir.Expr, /, **options: Any) -> Any:
        if any(value is not None for value in options.values()):
            return self._export("to_pyarrow", expr, (), options)
        with self._naming(expr):
            rows = self.arrow(expr)
        if isinstance(expr, ir.Table):
            return rows
        return rows.column(0) if isinstance(expr, ir.Column) else rows.column(0)[0]

    def _export(self, name: str, expr: ir.Expr, args: tuple[Any, ...], kwargs: Any) -> Any:
        if name in _ONE_FILE and args and "partition_by" not in kwargs:
            with disk_errors(args[0]), target_file(args[0]) as path:
                if write_text(name, expr, self.to_pyarrow_batches, path, kwargs):
                    return None
                return self._exported(name, expr, (path, *args[1:]), kwargs)
        return self._exported(name, expr, args, kwargs)

    def _exported(self, name: str, expr: ir.Expr, args: tuple[Any, ...], kwargs: Any) -> Any:
        expr = with_values(expr, kwargs.pop("params", None))
        with self._naming(expr), self._lowered(expr) as (backend, lowered):
            return getattr(backend, name)(lowered, *args, **kwargs)

    def execute(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[Any, Any] | None = None,
        limit: int | str | None = None,
        **_options: Any,
    ) -> Any:
        """Compute an expression and return it as Ibis does: a pandas frame, series or value."""
        rows = self._unmarked(limited(with_values(expr, params), limit))
        return pandas_of(expr, rows, storage_schema(expr.as_table().schema()))

    def to_pandas(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[Any, Any] | None = None,
        limit: int | str | None = None,
        **_options: Any,
    ) -> Any:
        """Compute an expression and return it as a pandas frame, series or value.

        Whole numbers of which some are missing are pandas' `Int64`.
        """
        rows = self._unmarked(limited(with_values(expr, params), limit))
        return pandas_of(expr, rows, storage_schema(expr.as_table().schema()), nullable=True)

    def to_pandas_batches(self, expr: ir.Expr, /, **options: Any) -> Iterator[Any]:
        """Compute an expression and return its rows as pandas frames or series, in batches."""
        import pyarrow as pa

        kinds = storage_schema(expr.as_table().schema())
        reader = self.to_pyarrow_batches(expr.as_table(), **options)
        tables = (pa.Table.from_batches([batch]) for batch in reader)
        return (pandas_of(expr, table, kinds, nullable=True) for table in tables)

    def to_polars(self, expr: ir.Expr, /, **options: Any) -> Any:
        """Compute an expression and return it as a polars frame, series or value."""
        return polars_of(expr, self._unmarked(expr.as_table(), **options))

    def to_xlsx(self, expr: ir.Table, /, path: Any, **options: Any) -> None:
        """Compute an expression and write its rows as an Excel file."""
        wanted = {name: options.pop(name, None) for name in ("params", "limit")}
        with disk_errors(path), target_file(path) as file:
            write_excel(self.to_pyarrow_batches(expr, **wanted), expr.schema(), file, **options)

    def hold(self, expr: ir.Table) -> CachedRows:
        """Compute an expression and keep its rows in memory; return the leaf that shows them."""
        kinds = expr.schema()
        held = Held(ibis.memtable(self.arrow(expr), schema=storage_schema(kinds)).op())
        return CachedRows(name=held.rows.name, schema=kinds, source=self, cache=held)

    def to_pyarrow_batches(
        self,
        expr: ir.Expr,
        /,
        *,
        chunk_size: int = 1_000_000,
        params: Mapping[Any, Any] | None = None,
        limit: int | str | None = None,
        **_options: Any,
    ) -> pa.RecordBatchReader:
        """Compute an expression and return its rows as a stream of record batches."""
        import pyarrow as pa

        expr = limited(with_values(expr, params), limit)

        def batches() -> Iterator[pa.RecordBatch]:
            with self.backend.use():
                plan = self.plan(expr)
                ready: dict[str, pa.Table] | None = {} if plan.stages else None
                if ready is None:
                    stream = self.backend.batches(plan.final.to_expr(), {}, chunk_size)
                    first = next(stream, None)  # from here on the stream keeps the database open
            if ready is not None:
                ready = self.runner.stages(plan)
                stream = self.backend.batches(plan.final.to_expr(), ready, chunk_size)
                first = next(stream, None)
            if first is not None:
                yield first
            yield from stream

        def named() -> Iterator[pa.RecordBatch]:
            with self._naming(expr):
                yield from batches()

        # Whether a value may be missing is no part of the batches, so not of their stream either.
        columns = self.plan(expr).final.schema.to_pyarrow()
        schema = pa.schema([field.with_nullable(True) for field in columns])
        schema = mark_json_schema(schema, expr.as_table().schema())
        return pa.RecordBatchReader.from_batches(schema, named())

    def write(self, form: str, expr: ir.Table, *arguments: Any) -> Any:
        """Write the rows of an expression as a data set of that form."""

        def batches(size: int) -> Iterator[pa.RecordBatch]:
            yield from self.to_pyarrow_batches(expr, chunk_size=size)

        return write(form, ExportRows(expr.schema(), batches, self.library), *arguments)

    def compile(self, expr: ir.Expr, /, **kwargs: Any) -> str:
        """Return the SQL of an expression that calls no function."""
        plan = self.plan(expr)
        if plan.stages:
            raise UnsupportedError(
                "an expression that calls functions is no single SQL statement.",
                hint="See how it would run by explain().",
            )
        return self.backend.ibis.compile(plan.final.to_expr(), **kwargs)

    def _get_sql_string_view_schema(self, *, name: str, table: ir.Table, query: str) -> sch.Schema:
        """Tell Ibis which columns a piece of SQL over an expression gives; nothing is computed."""
        kinds = storage_schema(table.schema())
        leaf = self.stored(_SQL_ROWS, kinds).to_expr()
        with self.backend.staging({_SQL_ROWS: kinds.to_pyarrow().empty_table()}) as backend:
            return backend._get_sql_string_view_schema(name=name, table=leaf, query=query)

    def calls(self) -> Query:
        """Return the call ledger as a table, without the answers themselves."""
        shown = {name: kind for name, kind in CALLS_SCHEMA.items() if name not in UNSHOWN}
        return Query(SystemTable(name=CALLS, schema=sch.Schema(shown), source=self))

    def close(self) -> None:
        """Close indexes, loop and connections."""
        self._loop.stop()
        self.caller.close()
        self.indexing.close()
        self.nearest.forget()
        self._qualifying.forget()
        self.ledger.close()
        self.backend.disconnect()


def _claims(settings: Settings) -> Claims | None:
    """Return where processes that share a database say what they ask of models."""
    url = urlsplit(settings.backend)
    if url.scheme == "duckdb":
        file = Path(url.path)
        return Claims(file.with_name(f"{file.name}.asking")) if file.name else None
    name = hashlib.sha256(settings.backend.encode()).hexdigest()[:16]
    return Claims(settings.home / "asking" / name)
