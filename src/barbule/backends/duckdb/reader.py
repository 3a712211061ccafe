"""The reader of DuckDB: queries are compiled, run with staged tables, and returned as Arrow."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
import ibis.expr.operations as ops

from barbule.backends.duckdb.arrow import to_query_result
from barbule.backends.duckdb.connections.interruptible_reads import (
    has_long_join,
    read_batches,
    read_table,
)
from barbule.backends.duckdb.errors import raise_keyboard_interrupt, translate_errors
from barbule.backends.duckdb.sql import similarity as similarities
from barbule.backends.duckdb.sql import statements as sql
from barbule.backends.duckdb.sql.shapes import Compiled, StatementShapes
from barbule.backends.duckdb.staging import (
    columns_filtered_by_duckdb,
    has_union,
    in_memory_tables,
    inline_small_tables,
    register,
)
from barbule.expression_keys import ExpressionKey
from barbule.fast_paths import fast_paths_enabled
from barbule.nodes.tree_walk import find_nodes
from barbule.tracing import statement as traced_statement

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.backends.base import Staged
    from barbule.backends.duckdb.connection import DuckDBConnection
    from barbule.backends.duckdb.ibis import SharedIbis

__all__ = ["DuckDBReader"]

_TABLES = (
    "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database() "
    "AND schema_name = current_schema() AND NOT temporary"
)
# The first read of duckdb_columns() binds all views of the system, which takes 9 ms.
_COLUMNS = "SELECT column_name FROM (DESCRIBE {})"

_VECTOR_ROWS = 2048  # of DuckDB's own batches, of which barbule's are multiples


class _InMemoryTablesError(Exception):
    """Marks a query that holds rows, and must not be cached with them."""


class _StoredTables:
    """The source of the leaves of stored tables: any database, as their statements are the same."""

    def __repr__(self) -> str:
        return "<tables of a DuckDB database>"


_STORED_TABLES = _StoredTables()


class DuckDBReader:
    """The part of the adapter that reads.

    Parameters
    ----------
    connection
        The connection whose cursors run the queries.
    """

    has_infinite_floats = True

    def __init__(self, connection: DuckDBConnection) -> None:
        self._connection = connection
        self._ibis: SharedIbis | None = None
        # Of plans that are run again, which are found faster than the shape of a query.
        self._compiled = functools.lru_cache(maxsize=256)(self._compile_key)

    @property
    def ibis(self) -> SharedIbis:
        """The Ibis backend, the same one for all threads."""
        if self._ibis is None:
            from barbule.backends.duckdb.ibis import SharedIbis

            self._ibis = SharedIbis(self._connection, self)
        return self._ibis

    def table(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Return the leaf of a stored or staged table."""
        return ops.DatabaseTable(name=name, schema=schema, source=_STORED_TABLES)

    def tables(self) -> set[str]:
        """Return the names of the stored tables."""
        # Not with Ibis' list_tables(), which uses a deprecated function of DuckDB.
        with self._connection.use(), traced_statement(_TABLES):
            return {name for (name,) in self._connection.cursor.execute(_TABLES).fetchall()}

    def columns(self, name: str) -> set[str]:
        """Return the names of the columns of a stored table; none if there is no such table."""
        query = _COLUMNS.format(sql.quoted(name))
        with self._connection.use(), traced_statement(query):
            try:
                rows = self._connection.cursor.execute(query).fetchall()
            except duckdb.CatalogException:
                return set()
        return {column for (column,) in rows}

    @contextmanager
    def staging(self, staged: Staged) -> Iterator[SharedIbis]:
        """Make staged tables readable on the calling thread's Ibis backend, and return it."""
        with self._connection.registering(staged, united=True):
            yield self.ibis

    # Compilation

    def compile(self, query: ir.Expr) -> str:
        """Return the SQL of a query of plain Ibis operations."""
        with translate_errors():
            return self.ibis.compile(query)

    def _compile_key(self, key: ExpressionKey) -> tuple[str, pa.Schema, bool]:
        """Return the SQL of a query, the schema of its rows, and whether a join may take long."""
        leaves = find_nodes(key.node, ops.PhysicalTable)
        if any(isinstance(leaf, ops.InMemoryTable) for leaf in leaves):
            raise _InMemoryTablesError
        is_stored = all(getattr(leaf, "source", None) is _STORED_TABLES for leaf in leaves)
        if is_stored and fast_paths_enabled():
            return _SHAPES.compile(key.node)
        query = key.node.to_expr()
        return self.ibis.compile(query), query.schema().to_pyarrow(), has_long_join(key.node)

    # Results

    def arrow(self, query: ir.Table, staged: Staged) -> pa.Table:
        """Run a query and return its rows."""
        with translate_errors():
            try:
                compile_key = self._compiled if fast_paths_enabled() else self._compile_key
                statement, schema, long_join = compile_key(ExpressionKey(query.op()))
            except _InMemoryTablesError:
                staged = {**staged, **in_memory_tables(query)}
                statement, schema = self.ibis.compile(query), query.schema().to_pyarrow()
                long_join = has_long_join(query.op())
        read = {name: rows for name, rows in staged.items() if name in statement}
        statement, registered_tables = inline_small_tables(statement, read)
        united = has_union(statement)
        with self._connection.registering(registered_tables, united=united) as cursor:
            rows = read_table(cursor, statement, long_join=long_join)
        return to_query_result(rows, schema)

    def batches(self, query: ir.Table, staged: Staged, size: int) -> Iterator[pa.RecordBatch]:
        """Run a query and return its rows in batches of about `size`."""
        import pyarrow as pa

        if self._connection.in_transaction:  # another cursor would not see what it has written
            yield from self.arrow(query, staged).to_batches(size)
            return
        statement, schema = self.compile(query), query.schema().to_pyarrow()
        united = has_union(statement)
        batch_rows = max(_VECTOR_ROWS, size // _VECTOR_ROWS * _VECTOR_ROWS)
        # A separate cursor: the caller may run other queries between two batches.
        with self._connection.separate_cursor() as cursor:
            for name, rows in {**staged, **in_memory_tables(query)}.items():
                register(cursor, name, rows, columns_filtered_by_duckdb(rows, united=united))
            with (
                raise_keyboard_interrupt(),
                self._connection.translated_disk_errors(),
                translate_errors(),
            ):
                for batch in read_batches(cursor, statement, batch_rows):
                    rows = to_query_result(pa.Table.from_batches([batch]), schema)
                    yield from rows.to_batches()

    def changes(
        self, rows: ir.Table, column: str, since: int, until: int
    ) -> tuple[pa.ChunkedArray, pa.Table]:
        """Return what ended between two commits, and what began then and lives at the later one.

        Written as SQL: building and compiling a query takes several times as long as running it.
        """
        name = rows.op().name
        with self._connection.use(), translate_errors():
            cursor = self._connection.cursor
            ended, new = (
                read_table(cursor, query, long_join=False)
                for query in (
                    sql.select_ended_rids(name, since, until),
                    sql.select_new_values(name, column, since, until),
                )
            )
            return ended.column(0), new

    def rows_with_values(self, rows: ir.Table, column: str, values: Sequence[str]) -> pa.Table:
        """Return the rows whose value in a column of strings is one of these.

        Written as SQL, as in `changes`; joining a staged table takes three times as long.
        """
        schema = rows.schema()
        query = sql.select_rows_with_values(rows.op().name, tuple(schema), column, values)
        connection = self._connection
        with connection.use(), connection.translated_disk_errors(), translate_errors():
            result = read_table(connection.cursor, query, long_join=False)
        return to_query_result(result, schema.to_pyarrow())

    # Values

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Return the expression for the similarity of two vectors; larger is nearer."""
        return similarities.similarity(left, right, metric)

    def first_unstorable(self, values: pa.Array, dtype: dt.DataType) -> int | None:
        """Return None: the database stores every value of its types."""
        return None


def _compile_for_any_database(root: ops.Relation) -> Compiled:
    """Return the SQL of a query of stored tables, the schema of its rows, and if it may be long."""
    from barbule.backends.duckdb.ibis import IbisCompiler

    query = root.to_expr()
    return IbisCompiler().compile(query), query.schema().to_pyarrow(), has_long_join(root)


_SHAPES = StatementShapes(_compile_for_any_database)
