"""The planner's view of tables, indexes and the backend.

Owns this information, as the calling thread sees the tables. Plans are made in `query_planner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.catalog import codec
from barbule.executor.ledger.answers import CALLS_TABLE
from barbule.executor.search.index_lookup import embedding_calls, index_over
from barbule.nodes import FunctionCall, ManagedTable, managed_table
from barbule.planner.lowering.table_schemas import hidden_columns, visible_schema
from barbule.planner.query_vectors import IndexedColumn
from barbule.relations.promotion import promoted
from barbule.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from barbule.backends.base import Backend
    from barbule.catalog.derivations import Derivations
    from barbule.catalog.records import TableRecord
    from barbule.catalog.store import Catalog
    from barbule.executor.ledger.call_ledger import CallLedger
    from barbule.executor.search.nearest_rows import NearestRows

__all__ = ["PlanFacts"]

ValueT = TypeVar("ValueT")


class PlanFacts:
    """The facts of one open database; the `PlannerFacts` of the planner.

    Parameters
    ----------
    source
        The source of leaves that are created here: the engine.
    zone
        The time zone of timestamps that have none.
    """

    def __init__(
        self,
        source: object,
        backend: Backend,
        catalog: Catalog,
        ledger: CallLedger,
        nearest: NearestRows,
        derivations: Derivations,
        zone: str,
    ) -> None:
        self._source = source
        self._backend = backend
        self._catalog = catalog
        self._ledger = ledger
        self._nearest = nearest
        self._derivations = derivations
        self.zone = zone

    # Leaves and expressions

    def leaf(self, table_id: int, commit: int | None = None, hidden: bool = False) -> ManagedTable:
        """Create the leaf of a table."""
        name = self._catalog.record(table_id, commit).name
        return managed_table(name, self._source, table_id, commit=commit, hidden=hidden)

    def schema_of(self, leaf: ManagedTable) -> sch.Schema:
        """Return the columns of a managed table as a leaf sees it."""
        key = (leaf.table_id, leaf.commit, leaf.hidden)
        derive = self._hidden_schema_of if leaf.hidden else self._schema_of
        return self._derivations.get(key, lambda: derive(leaf), lambda _schema: (leaf.table_id,))

    def _schema_of(self, leaf: ManagedTable) -> sch.Schema:
        with span("schema", self.record(leaf).name):
            return visible_schema(self.record(leaf), leaf.commit, self)

    def _hidden_schema_of(self, leaf: ManagedTable) -> sch.Schema:
        schema = self.schema_of(leaf.copy(hidden=False))
        return sch.Schema({**schema, **hidden_columns(self.record(leaf))})

    def record(self, leaf: ManagedTable) -> TableRecord:
        """Return the structure of a table as a leaf sees it."""
        return self._catalog.record(leaf.table_id, leaf.commit)

    def expression(self, text: str, commit: int | None) -> Any:
        """Read a stored expression, with its leaves at a commit."""
        return self._derivations.get(
            (text, commit),
            lambda: self._load(text, commit),
            lambda node: (leaf.table_id for leaf in node.find(ManagedTable)),
        )

    def _load(self, text: str, commit: int | None) -> ops.Node:
        return promoted(codec.load(text, lambda table, _, hidden: self.leaf(table, commit, hidden)))

    def derived(self, kind: Hashable, text: str, derive: Callable[[Any], ValueT]) -> ValueT:
        """Return what follows from a stored expression, derived once for the tables it reads.

        Parameters
        ----------
        kind
            Says what is derived.
        """

        def tables(_value: ValueT) -> Iterator[int]:
            return (leaf.table_id for leaf in self.expression(text, None).find(ManagedTable))

        return self._derivations.get(
            (kind, text), lambda: derive(self.expression(text, None)), tables
        )

    def columns_read(self, text: str, table_id: int) -> frozenset[str]:
        """Return the columns of a table that a stored expression names."""

        def names(expression: ops.Node) -> frozenset[str]:
            return frozenset(
                field.name
                for field in expression.find(ops.Field)
                if isinstance(field.rel, ManagedTable) and field.rel.table_id == table_id
            )

        return self.derived(("columns read", table_id), text, names)

    def calls_in(self, text: str) -> tuple[FunctionCall, ...]:
        """Return the calls of functions in a stored expression."""
        return self.derived("calls", text, lambda node: tuple(node.find(FunctionCall)))

    def stored(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Create the leaf of a table in the backend."""
        if name == CALLS_TABLE:
            self._ledger.flush()  # it will be read
        return self._backend.table(name, schema)

    # Rows

    def has_closed_rows(self, table_id: int) -> bool:
        """Whether rows of a table have ever been updated or deleted, or may be at any time."""
        return self._backend.many_writers or self._catalog.has_closed_rows(table_id)

    # Indexes and hidden columns

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Return the backend's expression for the similarity of two vectors."""
        return self._backend.similarity(left, right, metric)

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column."""
        record = self.record(leaf)

        def read(text: str) -> Any:
            return self.expression(text, leaf.commit)

        index = index_over(record, column, name, read)
        vector = record.column_by_id(index.embedding)
        scan_reason = self._scan_reason(leaf, record)
        is_ready = not scan_reason and self._nearest.is_ready(record, index)
        if not scan_reason and not is_ready:
            scan_reason = "there are too many vectors to keep in memory, and no index is available"
        return IndexedColumn(
            table_id=record.id,
            table=record.name,
            name=index.name,
            vector=vector.name,
            kind=vector.dtype,
            metric=index.metric,
            embeddings=embedding_calls(record, index, read),
            ready=is_ready,
            in_memory=is_ready and self._nearest.fits_in_memory(record, index),
            scan_reason=scan_reason,
        )

    def _scan_reason(self, leaf: ManagedTable, record: TableRecord) -> str:
        """Return why rows are not the live ones of a table, which an index may hold."""
        if record.origin is not None:
            return "it is a branch"
        if leaf.commit is not None:
            return "it is an old version"
        return "the table is being changed" if self._catalog.pending else ""

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""
        stored = self.record(leaf).column(column)
        return stored.error_name if stored and stored.fallible else None

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the recorded content of media, if any."""
        record = self.record(leaf)
        stored = record.column(column)
        return stored.content_name if stored and record.column(stored.content_name) else None
