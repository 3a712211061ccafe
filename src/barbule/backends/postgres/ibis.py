"""Ibis' Postgres backend, with the adapter's types and connections.

Owns that results are read through the adapter, as Arrow. Other Ibis methods (listing, `raw_sql`,
its own tables) run on a psycopg connection of the calling thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import ibis.expr.schema as sch
from ibis.backends.postgres import Backend

from barbule.backends.postgres.sql.column_types import PostgresTypes
from barbule.backends.postgres.sql.compiler import COMPILER
from barbule.backends.routing import route_to_engine
from barbule.backends.text_files import write_text_file
from barbule.types.json_marks import mark_json_schema

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    import ibis.expr.types as ir
    import psycopg
    import pyarrow as pa

    from barbule.backends.base import Staged
    from barbule.backends.postgres.connection import PostgresConnection

__all__ = ["SharedIbis"]


class ParameterReader(Protocol):
    """Runs queries of plain Ibis operations, with parameters of Ibis."""

    def arrow_with_parameters(
        self, query: ir.Table, staged: Staged, params: Mapping[ir.Scalar, object] | None = None
    ) -> pa.Table:
        """Run a query and return its rows."""

    def batches_with_parameters(
        self,
        query: ir.Table,
        staged: Staged,
        size: int,
        params: Mapping[ir.Scalar, object] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Run a query and return its rows in batches of about `size`."""

    def schema_of(self, query: str, table: ir.Table | None = None) -> sch.Schema:
        """Return the schema of a SQL query, which may read a staged table."""


class SharedIbis(Backend):
    """Ibis' Postgres backend; each thread has its own connection.

    Parameters
    ----------
    connection
        The connection that opens those of psycopg.
    adapter
        The adapter, or its reader, to which it belongs: their identity is the database's.
    """

    compiler = COMPILER

    def __init__(self, connection: PostgresConnection, adapter: ParameterReader) -> None:
        super().__init__()
        self._connection = connection
        self._adapter = adapter
        self._can_reconnect = False

    @property
    def con(self) -> psycopg.Connection[Any]:
        """The psycopg connection of the calling thread."""
        return self._connection.psycopg()

    def to_pyarrow_batches(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, object] | None = None,
        limit: int | str | None = None,
        chunk_size: int = 1_000_000,
        **_: object,
    ) -> pa.RecordBatchReader:
        """Execute an expression and return its rows as a stream of record batches."""
        import pyarrow as pa

        query = _limited(expr.as_table(), limit)
        batches = self._adapter.batches_with_parameters(query, {}, chunk_size, params)
        schema = pa.schema([field.with_nullable(True) for field in query.schema().to_pyarrow()])
        return pa.RecordBatchReader.from_batches(schema, batches)

    def to_pyarrow(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, object] | None = None,
        limit: int | str | None = None,
        **_: object,
    ) -> Any:
        """Execute an expression and return its rows as Arrow."""
        query = _limited(expr.as_table(), limit)
        return expr.__pyarrow_result__(self._adapter.arrow_with_parameters(query, {}, params))

    def execute(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, object] | None = None,
        limit: int | str | None = None,
        **_: object,
    ) -> Any:
        """Execute an expression and return its rows as pandas objects."""
        import pandas as pd
        import pyarrow.types as pat
        from ibis.backends.duckdb.converter import DuckDBPandasData

        query = _limited(expr.as_table(), limit)
        rows = self._adapter.arrow_with_parameters(query, {}, params)
        # As Ibis does for DuckDB, so that results do not depend on the backend.
        columns = {
            name: column.to_pylist()
            if pat.is_nested(column.type) or column.null_count
            else column.to_pandas()
            for name, column in zip(rows.column_names, rows.columns, strict=True)
        }
        frame = DuckDBPandasData.convert_table(pd.DataFrame(columns), query.schema())
        return expr.__pandas_result__(frame)

    def to_csv(self, expr: ir.Expr, /, path: str | os.PathLike[str], **options: object) -> None:
        """Execute an expression and write its rows as CSV."""
        self._write_text_file("to_csv", expr, path, options)

    def to_json(self, expr: ir.Expr, /, path: str | os.PathLike[str], **options: object) -> None:
        """Execute an expression and write its rows as JSON."""
        self._write_text_file("to_json", expr, path, options)

    def to_parquet(
        self,
        expr: ir.Expr,
        /,
        path: str | os.PathLike[str],
        *,
        params: Mapping[ir.Scalar, object] | None = None,
        limit: int | str | None = None,
        **options: object,
    ) -> None:
        """Execute an expression and write its rows as Parquet; Json is marked as such."""
        import pyarrow.parquet as pq

        table = expr.as_table()
        rows = self.to_pyarrow_batches(table, params=params, limit=limit)
        schema = mark_json_schema(rows.schema, table.schema())
        with pq.ParquetWriter(path, schema, **options) as writer:
            for batch in rows:
                writer.write_batch(batch.cast(schema))

    def _write_text_file(
        self,
        verb: str,
        expr: ir.Expr,
        path: str | os.PathLike[str],
        options: Mapping[str, Any],
    ) -> None:
        """Write a file with DuckDB, so that it does not depend on the source of the rows."""
        remaining = dict(options)
        params, limit = remaining.pop("params", None), remaining.pop("limit", None)
        rows = self.to_pyarrow_batches(expr.as_table(), params=params, limit=limit)
        write_text_file(verb, rows, path, remaining)

    def _get_schema_using_query(self, query: str) -> sch.Schema:
        return self._adapter.schema_of(query)

    def _get_sql_string_view_schema(self, *, name: str, table: ir.Table, query: str) -> sch.Schema:
        sql = self.compiler.add_query_to_expr(name=name, table=table, query=query)
        return self._adapter.schema_of(sql, table)


route_to_engine(SharedIbis)


def _limited(query: ir.Table, limit: int | str | None) -> ir.Table:
    if limit == "default":
        import ibis

        limit = ibis.options.sql.default_limit
    return query if limit is None else query.limit(int(limit))


def schema_from_columns(columns: list[tuple[Any, ...]]) -> sch.Schema:
    """Return the schema of columns, given as rows of their name, type and comment."""
    return sch.Schema(
        {name: PostgresTypes.from_string(type_name) for name, type_name, _ in columns}
    )
