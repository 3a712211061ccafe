"""Ibis' DuckDB backend on a database that is handed over between processes.

Owns nothing but the way from Ibis' connection to the adapter's: users get it as `session.ibis`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt
from ibis.backends.duckdb import Backend

from barbule.backends.duckdb.sql.compiler import COMPILER
from barbule.backends.routing import route_to_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb
    import ibis.expr.types as ir

    from barbule.backends.duckdb.adapter import DuckDBBackend

__all__ = ["SharedIbis"]

# What runs statements: the database stays open for as long as each of them takes.
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


_ROWS = 100_000  # of a batch that is written


class SharedIbis(Backend):
    """Ibis' DuckDB backend; each thread uses the adapter's cursor."""

    compiler = COMPILER

    def __init__(self, adapter: DuckDBBackend) -> None:
        super().__init__()
        self._adapter = adapter
        self._can_reconnect = False
        self._record_batch_readers_consumed: dict[str, Any] = {}

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The connection of the calling thread."""
        return self._adapter.cursor

    def execute(
        self, expr: ir.Expr, /, *, params: Any = None, limit: Any = None, **options: Any
    ) -> Any:
        """Return a data frame, a series or a value of pandas."""
        table = expr.as_table()
        if params is None and any(map(_holds_durations, table.schema().types)):
            if limit is not None:
                table = table.limit(ibis.options.sql.default_limit if limit == "default" else limit)
            return expr.__pandas_result__(self._adapter.arrow(table, {}).to_pandas())
        return super().execute(expr, params=params, limit=limit, **options)

    def to_parquet(self, expr: ir.Expr, /, path: Any, **options: Any) -> None:
        """Write a Parquet file.

        Vectors are written as lists: DuckDB writes an ARRAY that is missing in a way that no
        reader of Parquet understands.
        """
        table = expr.as_table()
        if any(map(_holds_durations, table.schema().types)):
            self._write_durations(table, path, **options)
            return
        lists = {
            name: without_length
            for name, kind in table.schema().items()
            if (without_length := _as_lists(kind)) != kind
        }
        super().to_parquet(table.cast(lists) if lists else table, path, **options)

    def _write_durations(self, table: ir.Table, path: Any, **options: Any) -> None:
        """Write a Parquet file by Arrow; DuckDB's intervals are bytes to most readers."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = table.schema().to_pyarrow()
        schema = pa.schema([field.with_nullable(True) for field in schema])
        with pq.ParquetWriter(path, schema, **options) as writer:
            for batch in self._adapter.batches(table, {}, _ROWS):
                writer.write_batch(batch)


def _holds_durations(kind: dt.DataType) -> bool:
    if isinstance(kind, dt.Struct):
        return any(map(_holds_durations, kind.fields.values()))
    if isinstance(kind, dt.Array | dt.Map):
        return _holds_durations(kind.value_type)
    return isinstance(kind, dt.Interval)


def _as_lists(kind: dt.DataType) -> dt.DataType:
    """Return a type whose arrays have any length."""
    if isinstance(kind, dt.Array):
        return kind.copy(value_type=_as_lists(kind.value_type), length=None)
    if isinstance(kind, dt.Struct):
        return kind.copy(fields={name: _as_lists(each) for name, each in kind.fields.items()})
    if isinstance(kind, dt.Map):
        return kind.copy(value_type=_as_lists(kind.value_type))
    return kind


def _using(verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def run(self: SharedIbis, *args: Any, **kwargs: Any) -> Any:
        with self._adapter.use():
            return verb(self, *args, **kwargs)

    return run


for _name in _VERBS:
    setattr(SharedIbis, _name, _using(getattr(SharedIbis, _name)))

route_to_engine(SharedIbis)
