"""Ibis' Postgres backend, with the adapter's types and connections.

Owns the way from Ibis' verbs to the adapter: results come through it, as Arrow; what else Ibis
does (listing, `raw_sql`, its own tables) runs on a psycopg connection of the calling thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.schema as sch
from ibis.backends.postgres import Backend

from barbule.backends.postgres.sql.column_types import PostgresTypes
from barbule.backends.postgres.sql.compiler import COMPILER
from barbule.backends.routing import route_to_engine
from barbule.backends.text_files import write_text_file
from barbule.types.json_marks import mark_json_schema

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import psycopg
    import pyarrow as pa

    from barbule.backends.postgres.adapter import PostgresBackend

__all__ = ["SharedIbis"]


class SharedIbis(Backend):
    """Ibis' Postgres backend; each thread has a connection of its own."""

    compiler = COMPILER

    def __init__(self, adapter: PostgresBackend) -> None:
        super().__init__()
        self._adapter = adapter
        self._can_reconnect = False

    @property
    def con(self) -> psycopg.Connection[Any]:
        """The psycopg connection of the calling thread."""
        return self._adapter.psycopg()

    def to_pyarrow_batches(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Any = None,
        limit: int | str | None = None,
        chunk_size: int = 1_000_000,
        **_: Any,
    ) -> pa.RecordBatchReader:
        """Compute an expression and return its rows as a stream of record batches."""
        import pyarrow as pa

        query = _limited(expr.as_table(), limit)
        # An expression of psycopg's connection sees what a transaction here has written, too.
        batches = self._adapter.stream(query, {}, chunk_size, params)
        wanted = pa.schema([field.with_nullable(True) for field in query.schema().to_pyarrow()])
        return pa.RecordBatchReader.from_batches(wanted, batches)

    def to_pyarrow(
        self, expr: ir.Expr, /, *, params: Any = None, limit: int | str | None = None, **_: Any
    ) -> Any:
        """Compute an expression and return its rows as Arrow."""
        query = _limited(expr.as_table(), limit)
        return expr.__pyarrow_result__(self._adapter.whole(query, {}, params))

    def execute(
        self, expr: ir.Expr, /, *, params: Any = None, limit: int | str | None = None, **_: Any
    ) -> Any:
        """Compute an expression and return its rows as pandas objects."""
        import pandas as pd
        import pyarrow.types as pat
        from ibis.backends.duckdb.converter import DuckDBPandasData

        query = _limited(expr.as_table(), limit)
        rows = self._adapter.whole(query, {}, params)
        # As Ibis does it for DuckDB, so that results do not depend on the backend.
        columns = {
            name: column.to_pylist()
            if pat.is_nested(column.type) or column.null_count
            else column.to_pandas()
            for name, column in zip(rows.column_names, rows.columns, strict=True)
        }
        frame = DuckDBPandasData.convert_table(pd.DataFrame(columns), query.schema())
        return expr.__pandas_result__(frame)

    def to_csv(self, expr: ir.Expr, /, path: Any, **options: Any) -> None:
        """Compute an expression and write its rows as CSV."""
        self._written("to_csv", expr, path, options)

    def to_json(self, expr: ir.Expr, /, path: Any, **options: Any) -> None:
        """Compute an expression and write its rows as JSON."""
        self._written("to_json", expr, path, options)

    def to_parquet(
        self,
        expr: ir.Expr,
        /,
        path: Any,
        *,
        params: Any = None,
        limit: int | str | None = None,
        **options: Any,
    ) -> None:
        """Compute an expression and write its rows as Parquet; Json is marked as such."""
        import pyarrow.parquet as pq

        table = expr.as_table()
        rows = self.to_pyarrow_batches(table, params=params, limit=limit)
        schema = mark_json_schema(rows.schema, table.schema())
        with pq.ParquetWriter(path, schema, **options) as writer:
            for batch in rows:
                writer.write_batch(batch.cast(schema))

    def _written(self, verb: str, expr: ir.Expr, path: Any, options: dict[str, Any]) -> None:
        """Write a file by DuckDB, so that it does not depend on where the rows come from."""
        options = dict(options)
        asked = {name: options.pop(name, None) for name in ("params", "limit")}
        rows = self.to_pyarrow_batches(expr.as_table(), **asked)
        write_text_file(verb, rows, path, options)

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


def schema_from(columns: list[tuple[Any, ...]]) -> sch.Schema:
    """Make the schema of columns given by name and type of Postgres."""
    return sch.Schema({name: PostgresTypes.from_string(kind) for name, kind, _ in columns})
