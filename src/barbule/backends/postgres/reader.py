"""The reader of Postgres: queries are compiled, run with staged tables, and returned as Arrow."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.types as ir
import sqlglot as sg

from barbule.backends.base import FROM, RID, TO
from barbule.backends.postgres.errors import translate_errors
from barbule.backends.postgres.sql import similarity as similarities
from barbule.backends.postgres.sql import statements as sql
from barbule.backends.postgres.sql.compiler import COMPILER
from barbule.backends.postgres.sql.nul import first_nul
from barbule.backends.postgres.staging import unique_name, with_staged_tables
from barbule.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import pyarrow as pa
    import sqlglot.expressions as sge

    from barbule.backends.base import Staged
    from barbule.backends.postgres.connection import PostgresConnection
    from barbule.backends.postgres.connections.adbc import AdbcConnection
    from barbule.backends.postgres.ibis import SharedIbis

__all__ = ["PostgresReader"]

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_COLUMNS = (
    "SELECT column_name::text FROM information_schema.columns "
    "WHERE table_schema = current_schema() AND table_name = "
)


class PostgresReader:
    """The part of the adapter that reads.

    Parameters
    ----------
    connection
        The connection on which the queries run.
    """

    has_infinite_floats = False

    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection
        self._ibis: SharedIbis | None = None
        self._staging = threading.local()  # what each thread has staged

    @property
    def ibis(self) -> SharedIbis:
        """The Ibis backend, the same one for all threads."""
        if self._ibis is None:
            from barbule.backends.postgres.ibis import SharedIbis

            self._ibis = SharedIbis(self._connection, self)
        return self._ibis

    def table(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Return the leaf of a stored or staged table."""
        return ops.DatabaseTable(name=name, schema=schema, source=self.ibis)

    def tables(self) -> set[str]:
        """Return the names of the stored tables."""
        rows = self._connection.read(lambda connection: connection.rows(_TABLES))
        return {name for (name,) in rows}

    def columns(self, name: str) -> set[str]:
        """Return the names of the columns of a stored table; none if there is no such table."""
        query = _COLUMNS + sql.to_sql(sql.literal(name))
        rows = self._connection.read(lambda connection: connection.rows(query))
        return {column for (column,) in rows}

    @contextmanager
    def staging(self, staged: Staged) -> Iterator[SharedIbis]:
        """Make staged tables readable on the calling thread's Ibis backend, and return it."""
        outer = self._staged
        self._staging.staged = {**outer, **staged}
        try:
            with translate_errors():
                yield self.ibis
        finally:
            self._staging.staged = outer

    @property
    def _staged(self) -> Staged:
        return getattr(self._staging, "staged", {})

    # Compilation

    def compile(self, query: ir.Expr) -> str:
        """Return the SQL of a query of plain Ibis operations."""
        with translate_errors():
            return sql.to_sql(sql.with_stored_names(COMPILER.to_sqlglot(query)))

    def schema_of(self, query: str, table: ir.Table | None = None) -> sch.Schema:
        """Return the schema of a SQL query, which may read a staged table."""
        view = unique_name("view")
        return self._connection.read(
            lambda connection: self._schema_of(connection, view, query, table)
        )

    def _schema_of(
        self, connection: AdbcConnection, view: str, query: str, table: ir.Table | None
    ) -> sch.Schema:
        from barbule.backends.postgres.ibis import schema_from_columns

        with translate_errors():
            tree = sg.parse_one(query, read="postgres")
        completed = (
            nullcontext(tree)
            if table is None
            else with_staged_tables(connection, tree, table, self._staged)
        )
        with completed as complete:
            connection.run(sql.to_sql(sql.create_view(view, complete)))
            try:
                return schema_from_columns(connection.rows(sql.select_column_types(view)))
            finally:
                connection.run(sql.to_sql(sql.drop_view(view)))

    # Results

    def arrow(self, query: ir.Table, staged: Staged) -> pa.Table:
        """Run a query and return its rows."""
        return self.arrow_with_parameters(query, staged)

    def arrow_with_parameters(
        self, query: ir.Table, staged: Staged, params: Mapping[ir.Scalar, object] | None = None
    ) -> pa.Table:
        """Run a query, with parameters of Ibis, and return its rows."""
        from barbule.backends.postgres.arrow import to_query_result

        staged = {**self._staged, **staged}

        def read(connection: AdbcConnection) -> pa.Table:
            tree = _compiled(query, params)  # which is completed in place
            with with_staged_tables(connection, tree, query, staged) as complete:
                return connection.stream(sql.to_sql(complete)).read_all()

        return to_query_result(self._connection.read(read), query.schema(), sql.stored_name)

    def batches(self, query: ir.Table, staged: Staged, size: int) -> Iterator[pa.RecordBatch]:
        """Run a query and return its rows in batches of about `size`."""
        return self.batches_with_parameters(query, staged, size)

    def batches_with_parameters(
        self,
        query: ir.Table,
        staged: Staged,
        size: int,
        params: Mapping[ir.Scalar, object] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Run a query, with parameters of Ibis, and return its rows in batches."""
        from barbule.backends.postgres.arrow import to_query_result

        tree = _compiled(query, params)
        staged = {**self._staged, **staged}
        connection = self._connection
        writing_connection = connection.thread_connection if connection.in_transaction else None
        schema = query.schema()

        def tables() -> Iterator[pa.Table]:
            if writing_connection is not None:  # another would not see what it has written
                yield from self._fetch(writing_connection, tree, query, staged, size)
                return
            # A separate connection: the caller may run other queries between two batches.
            began = False
            try:
                for rows in self._stream(tree, query, staged):
                    began = True
                    yield rows
            except UnreachableError:
                if began:
                    raise
                yield from self._stream(_compiled(query, params), query, staged)

        return (
            batch
            for rows in tables()
            for batch in to_query_result(rows, schema, sql.stored_name).to_batches(size)
        )

    def _stream(self, tree: sge.Expression, query: ir.Table, staged: Staged) -> Iterator[pa.Table]:
        """Run a query on a connection that is acquired for it."""
        import pyarrow as pa

        with (
            self._connection.separate_connection() as connection,
            with_staged_tables(connection, tree, query, staged) as complete,
        ):
            stream = connection.stream(sql.to_sql(complete))
            try:
                for batch in stream:
                    yield pa.Table.from_batches([batch])
            finally:
                stream.close()

    def _fetch(
        self,
        connection: AdbcConnection,
        tree: sge.Expression,
        query: ir.Table,
        staged: Staged,
        size: int,
    ) -> Iterator[pa.Table]:
        """Run a query by a cursor of a transaction."""
        cursor = unique_name("cursor")
        with with_staged_tables(connection, tree, query, staged) as complete:
            connection.run(sql.declare_cursor(cursor, sql.to_sql(complete)))
            fetch = sql.fetch_rows(cursor, size)
            try:
                while rows := connection.stream(fetch, simple=True).read_all():
                    yield rows
            finally:
                if connection.in_transaction and not connection.failed:
                    connection.run(sql.close_cursor(cursor))

    def changes(
        self, rows: ir.Table, column: str, since: int, until: int
    ) -> tuple[pa.ChunkedArray, pa.Table]:
        """Return what ended between two commits, and what began then and lives at the later one."""
        ended = rows.filter(rows[TO] > since, rows[TO] <= until).select(RID).distinct()
        began = rows.filter(
            rows[FROM] > since, rows[FROM] <= until, rows[TO] > until, rows[column].notnull()
        )
        return self.arrow(ended, {}).column(0), self.arrow(began.select(RID, column), {})

    def rows_with_values(self, rows: ir.Table, column: str, values: Sequence[str]) -> pa.Table:
        """Return the rows whose value in a column of strings is one of these."""
        from barbule.backends.postgres.arrow import to_query_result

        schema = rows.schema()
        select = sql.select_rows_with_values(rows.op().name, schema.names, column, values)
        query = sql.to_sql(select)
        result = self._connection.read(lambda connection: connection.stream(query).read_all())
        return to_query_result(result, schema, sql.stored_name)

    # Values

    def similarity(self, left: ops.Value, right: ops.Value, metric: str) -> ops.Value:
        """Return the expression for the similarity of two vectors; larger is nearer."""
        return similarities.similarity(left, right, metric)

    def first_unstorable(self, values: pa.Array, dtype: dt.DataType) -> int | None:
        """Return the index of the first value with a string that contains NUL."""
        return first_nul(values, dtype)


def _compiled(query: ir.Expr, params: Mapping[ir.Scalar, object] | None) -> sge.Expression:
    with translate_errors():
        return COMPILER.to_sqlglot(query, params=params)
