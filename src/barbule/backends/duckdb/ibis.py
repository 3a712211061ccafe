"""Ibis' DuckDB backend on a database that processes hand over to each other.

Owns that each Ibis method keeps the database open while it runs, on the adapter's cursor of the
calling thread. Users access it as `session.ibis`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import ibis
import ibis.expr.datatypes as dt
from ibis.backends.duckdb import Backend

from barbule.backends.duckdb.sql.compiler import COMPILER
from barbule.backends.routing import route_to_engine
from barbule.tracing import statement
from barbule.types.declarations import holds
from barbule.types.declarations.nested import rebuild

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    import duckdb
    import ibis.expr.types as ir

    from barbule.backends.base import Reader
    from barbule.backends.duckdb.connection import DuckDBConnection

__all__ = ["IbisCompiler", "SharedIbis"]

P = ParamSpec("P")
T = TypeVar("T")

# The methods that run statements: the database stays open while they run.
_VERBS = (
    "attach",
    "create_database",
    "create_table",
    "create_view",
    "drop_database",
    "drop_table",
    "drop_view",
    "execute",
    "get_schema",
    "insert",
    "list_catalogs",
    "list_databases",
    "list_tables",
    "read_csv",
    "read_json",
    "read_parquet",
    "rename_table",
    "sql",
    "table",
    "to_csv",
    "to_json",
    "to_pandas",
    "to_parquet",
    "to_polars",
    "to_pyarrow",
    "truncate_table",
    "upsert",
)


_BATCH_ROWS = 100_000  # of a Parquet file


class IbisCompiler(Backend):
    """Ibis' DuckDB backend without a database: it compiles."""

    compiler = COMPILER


class SharedIbis(Backend):
    """Ibis' DuckDB backend; each thread uses the adapter's cursor.

    Parameters
    ----------
    connection
        The connection whose cursors it uses.
    adapter
        The adapter, or its reader, to which it belongs: their identity is the database's.
    """

    compiler = COMPILER

    def __init__(self, connection: DuckDBConnection, adapter: Reader) -> None:
        super().__init__()
        self._connection = connection
        self._adapter = adapter
        self._can_reconnect = False
        self._record_batch_readers_consumed: dict[str, Any] = {}

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The connection of the calling thread."""
        return self._connection.cursor

    def raw_sql(self, query: Any, **options: Any) -> Any:
        """Run a statement of one of Ibis' verbs."""
        with statement(query if isinstance(query, str) else query.sql(dialect="duckdb")):
            return super().raw_sql(query, **options)

    def execute(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, object] | None = None,
        limit: int | str | None = None,
        **options: object,
    ) -> Any:
        """Return a data frame, a series or a value of pandas."""
        table = expr.as_table()
        if params is None and any(holds(kind, dt.Interval) for kind in table.schema().types):
            if limit is not None:
                table = table.limit(ibis.options.sql.default_limit if limit == "default" else limit)
            return expr.__pandas_result__(self._adapter.arrow(table, {}).to_pandas())
        return super().execute(expr, params=params, limit=limit, **options)

    def to_parquet(self, expr: ir.Expr, /, path: str | os.PathLike[str], **options: object) -> None:
        """Write a Parquet file.

        Vectors are written as lists: DuckDB writes a missing ARRAY in a way that no Parquet reader
        understands.
        """
        table = expr.as_table()
        if any(holds(kind, dt.Interval) for kind in table.schema().types):
            self._write_durations(table, path, **options)
            return
        lists = {
            name: with_lists
            for name, dtype in table.schema().items()
            if (with_lists := rebuild(dtype, _of_any_length)) != dtype
        }
        super().to_parquet(table.cast(lists) if lists else table, path, **options)

    def _write_durations(
        self, table: ir.Table, path: str | os.PathLike[str], **options: object
    ) -> None:
        """Write a Parquet file with Arrow; most readers see DuckDB's intervals as bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = table.schema().to_pyarrow()
        schema = pa.schema([field.with_nullable(True) for field in schema])
        with pq.ParquetWriter(path, schema, **options) as writer:
            for batch in self._adapter.batches(table, {}, _BATCH_ROWS):
                writer.write_batch(batch)


def _of_any_length(dtype: dt.DataType) -> dt.DataType:
    return dtype.copy(length=None) if isinstance(dtype, dt.Array) else dtype


def _with_open_database(
    verb: Callable[Concatenate[SharedIbis, P], T],
) -> Callable[..., T]:
    @functools.wraps(verb)
    def run(self: SharedIbis, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._connection.use():
            return verb(self, *args, **kwargs)

    return run


for _name in _VERBS:
    setattr(SharedIbis, _name, _with_open_database(getattr(SharedIbis, _name)))

route_to_engine(SharedIbis)
