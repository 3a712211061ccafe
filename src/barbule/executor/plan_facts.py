"""The planner's view of tables, indexes and the backend.

Owns this information, as the calling thread sees the tables. Plans are made in `query_planner`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.catalog import codec
from barbule.executor.search.index_lookup import embedding_calls, index_over
from barbule.nodes import FunctionCall, ManagedTable, managed_table
from barbule.planner.lowering.table_schemas import hidden_columns, visible_schema
from barbule.planner.query_vectors import IndexedColumn
from barbule.relations.promotion import promoted
from barbule.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from barbule.catalog.catalog_reader import CatalogReader
    from barbule.catalog.pending import PendingCatalog
    from barbule.catalog.records import TableRecord
    from barbule.executor.database import Database

__all__ = ["OperationFacts", "PendingFacts", "PlanFacts"]

ValueT = TypeVar("ValueT")

Derived = tuple[ValueT, Iterable[int]]
"""A derived value, and the tables that it depends on."""


class PlanFacts:
    """The facts of one open database, as one operation sees it; the `PlannerFacts` of the planner.

    Parameters
    ----------
    source
        The source of leaves that are created here, and their engine.
    database
        The parts of the database.
    catalog
        The tables as the operation sees them.
    in_transaction
        Whether the operation may have changed rows that indexes do not hold yet.

    Attributes
    ----------
    zone
        The time zone of timestamps that have none.
    """

    def __init__(
        self,
        source: Any,
        database: Database,
        catalog: CatalogReader,
        *,
        in_transaction: bool = False,
    ) -> None:
        self.source = source
        self.zone = database.zone
        self._database = database
        self._catalog = catalog
        self._in_transaction = in_transaction

    def in_transactions(self) -> PlanFacts:
        """Return the same facts for transactions, which search no index."""
        return PlanFacts(self.source, self._database, self._catalog, in_transaction=True)

    def _derived(self, key: Hashable, derive: Callable[[PlanFacts], Derived[ValueT]]) -> ValueT:
        """Return a value that is derived once for the structure that it depends on.

        Parameters
        ----------
        derive
            Derives it from the given facts, and returns the tables that it depends on.
        """
        value: ValueT = self._database.derivations.get(key, lambda: derive(self)).value
        return value

    # Leaves and expressions

    def leaf(self, table_id: int, commit: int | None = None, hidden: bool = False) -> ManagedTable:
        """Create the leaf of a table."""
        name = self._catalog.record(table_id, commit).name
        return managed_table(name, self.source, table_id, commit=commit, hidden=hidden)

    def schema_of(self, leaf: ManagedTable) -> sch.Schema:
        """Return the columns of a managed table as a leaf sees it."""
        key = (leaf.table_id, leaf.commit, leaf.hidden)

        def derive(facts: PlanFacts) -> Derived[sch.Schema]:
            record = facts.record(leaf)
            if leaf.hidden:
                visible = facts.schema_of(leaf.copy(hidden=False))
                return sch.Schema({**visible, **hidden_columns(record)}), (leaf.table_id,)
            with span("schema", record.name):
                return visible_schema(record, leaf.commit, facts), (leaf.table_id,)

        return self._derived(key, derive)

    def record(self, leaf: ManagedTable) -> TableRecord:
        """Return the structure of a table as a leaf sees it."""
        return self._catalog.record(leaf.table_id, leaf.commit)

    def expression(self, text: str, commit: int | None) -> Any:
        """Read a stored expression, with its leaves at a commit."""

        def derive(facts: PlanFacts) -> Derived[ops.Node]:
            def leaf(table_id: int, _: object, hidden: bool) -> ManagedTable:
                return facts.leaf(table_id, commit, hidden)

            expression = promoted(codec.load(text, leaf))
            return expression, _tables_read(expression)

        return self._derived((text, commit), derive)

    def derived(self, kind: Hashable, text: str, derive: Callable[[Any], ValueT]) -> ValueT:
        """Return what follows from a stored expression, derived once for the tables it reads.

        Parameters
        ----------
        kind
            Says what is derived.
        """

        def derive_from_text(facts: PlanFacts) -> Derived[ValueT]:
            expression = facts.expression(text, None)
            return derive(expression), _tables_read(expression)

        return self._derived((kind, text), derive_from_text)

    def plan_once(self, key: Hashable, derive: Callable[[PlanFacts], Derived[ValueT]]) -> ValueT:
        """Return a plan that is made once for the structure that it depends on."""
        return self._derived(("plan", key), derive)

    def forget_plan(self, key: Hashable) -> None:
        """Drop a plan that is out of date for another reason than the structure."""
        self._database.derivations.forget(("plan", key))

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
        return self._database.backend.table(name, schema)

    # Rows

    def has_closed_rows(self, table_id: int) -> bool:
        """Whether rows of a table have ever been updated or deleted, or may be at any time."""
        return self._database.backend.many_writers or self._catalog.has_closed_rows(table_id)

    # Indexes and hidden columns

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Return the backend's expression for the similarity of two vectors."""
        return self._database.backend.similarity(left, right, metric)

    def index_of(self, leaf: ManagedTable, column: str, name: str | None) -> IndexedColumn:
        """Return the embedding index of a column."""
        record = self.record(leaf)

        def read(text: str) -> Any:
            return self.expression(text, leaf.commit)

        index = index_over(record, column, name, read)
        vector = record.column_by_id(index.embedding)
        scan_reason = self._scan_reason(leaf, record)
        in_memory = not scan_reason and self._database.nearest.may_fit_in_memory(record, index)
        return IndexedColumn(
            table_id=record.id,
            table=record.name,
            name=index.name,
            vector=vector.name,
            kind=vector.dtype,
            metric=index.metric,
            embeddings=embedding_calls(record, index, read),
            ready=not scan_reason,
            in_memory=in_memory,
            scan_reason=scan_reason,
        )

    def _scan_reason(self, leaf: ManagedTable, record: TableRecord) -> str:
        """Return why rows are not the live ones of a table, which an index may hold."""
        if record.origin is not None:
            return "it is a branch"
        if leaf.commit is not None:
            return "it is an old version"
        return "the table is being changed" if self._in_transaction else ""

    def errors_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the errors of a column, if it has any."""
        stored = self.record(leaf).column(column)
        return stored.error_name if stored and stored.fallible else None

    def content_of(self, leaf: ManagedTable, column: str) -> str | None:
        """Return the name of the hidden column with the recorded content of media, if any."""
        record = self.record(leaf)
        stored = record.column(column)
        return stored.content_name if stored and record.column(stored.content_name) else None


class OperationFacts(PlanFacts):
    """The facts of one verb: leaves that are created here belong to its engine.

    Parameters
    ----------
    committed
        The facts of the committed state, from which everything is derived that is kept.
    """

    def __init__(self, committed: PlanFacts, source: Any, catalog: CatalogReader) -> None:
        in_transaction = committed._in_transaction
        super().__init__(source, committed._database, catalog, in_transaction=in_transaction)
        self._committed = committed

    def _derived(self, key: Hashable, derive: Callable[[PlanFacts], Derived[ValueT]]) -> ValueT:
        return self._committed._derived(key, derive)


class PendingFacts(OperationFacts):
    """The facts of one transaction, which sees the structures that it changes itself."""

    def __init__(self, committed: PlanFacts, source: Any, catalog: PendingCatalog) -> None:
        super().__init__(committed, source, catalog)
        self._pending = catalog

    def _derived(self, key: Hashable, derive: Callable[[PlanFacts], Derived[ValueT]]) -> ValueT:
        value: ValueT = self._database.derivations.get_pending(
            self._pending, key, lambda: derive(self), lambda: derive(self._committed)
        ).value
        return value

    def forget_plan(self, key: Hashable) -> None:
        """Drop a plan that is out of date for another reason than the structure."""
        self._database.derivations.forget(("plan", key), self._pending)


def _tables_read(expression: ops.Node) -> tuple[int, ...]:
    return tuple(leaf.table_id for leaf in expression.find(ManagedTable))
