"""Results in the formats of Ibis: Arrow, pandas, polars, Excel, and files.

Owns which stages are run before the database exports the final query, and which formats are created
here. `result_formats` and `data_frames` convert values.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.executor.results.data_frames import pandas_result
from barbule.executor.results.excel import write_excel
from barbule.executor.results.result_formats import (
    bind_params,
    explaining_disk_errors,
    limited,
    polars_result,
    write_text,
)
from barbule.io.output_files import target_file
from barbule.nodes.tree_walk import find_nodes
from barbule.tracing import operation as traced_operation
from barbule.tracing import operations
from barbule.types import storage_schema
from barbule.types.json_marks import mark_json, mark_json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from ibis.backends import BaseBackend

    from barbule.backends.base import Backend
    from barbule.executor.calls.operation import Operation
    from barbule.executor.plan_runner import PlanRunner
    from barbule.executor.query_planner import QueryPlanner
    from barbule.executor.query_runner import QueryRunner

    Params = Mapping[ir.Scalar, Any]

__all__ = ["EXPORT_METHODS", "Exports"]

EXPORT_METHODS = frozenset(
    {"to_csv", "to_delta", "to_json", "to_parquet", "to_parquet_dir", "to_torch"}
)
"""Methods of Ibis backends that are called with the final query, after its stages have run."""

_SINGLE_FILE_METHODS = frozenset({"to_csv", "to_json", "to_parquet"})


@operations(
    "to_pandas", "to_pandas_batches", "to_polars", "to_pyarrow", "to_pyarrow_batches", "to_xlsx"
)
class Exports:
    """Executes expressions of one open database and returns them in several formats."""

    def __init__(
        self,
        backend: Backend,
        planner: QueryPlanner,
        plan_runner: PlanRunner,
        query_runner: QueryRunner,
    ) -> None:
        self._backend = backend
        self._planner = planner
        self._plan_runner = plan_runner
        self._query_runner = query_runner

    # By the database

    def export(
        self, method: str, expr: ir.Expr, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Execute an expression and export it with a method of the database's Ibis backend."""
        with traced_operation(method, (expr,)):
            return self._export(method, expr, args, kwargs)

    def _export(
        self, method: str, expr: ir.Expr, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if method in _SINGLE_FILE_METHODS and args and "partition_by" not in kwargs:
            with explaining_disk_errors(args[0]), target_file(args[0]) as path:
                if write_text(method, expr, self.to_pyarrow_batches, path, kwargs):
                    return None
                return self._export_by_ibis(method, expr, (path, *args[1:]), kwargs)
        return self._export_by_ibis(method, expr, args, kwargs)

    def _export_by_ibis(
        self, method: str, expr: ir.Expr, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        expr = bind_params(expr, kwargs.pop("params", None))
        with self._query_runner.locating_errors(expr), self._lowered(expr) as (backend, lowered):
            return getattr(backend, method)(lowered, *args, **kwargs)

    @contextlib.contextmanager
    def _lowered(self, expr: ir.Expr) -> Iterator[tuple[Any, ir.Expr]]:
        """Run the stages of an expression; yield the Ibis backend and the final query."""
        operation = self._query_runner.begin()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._backend.use())
            plan = self._planner.plan(expr)
            if plan.stages:
                stack.close()
            stage_tables = self._plan_runner.stages(plan, operation)
            stack.enter_context(self._backend.use())
            backend = stack.enter_context(self._backend.staging(stage_tables))
            final = _with_source(plan.final, backend).to_expr()
            if isinstance(expr, ir.Column):
                yield backend, final[final.columns[0]]
            elif isinstance(expr, ir.Scalar):
                yield backend, final.as_scalar().name(final.columns[0])
            else:
                yield backend, final

    # Arrow

    def to_pyarrow(self, expr: ir.Expr, **options: Any) -> pa.Table | pa.ChunkedArray | pa.Scalar:
        """Execute an expression and return it as an Arrow table, array or scalar.

        Json columns are strings that are marked as Arrow's `arrow.json`.
        """
        rows = self._unmarked(expr, **options)
        return mark_json(rows, expr.schema()) if isinstance(expr, ir.Table) else rows

    def _unmarked(self, expr: ir.Expr, **options: Any) -> Any:
        if any(value is not None for value in options.values()):
            return self.export("to_pyarrow", expr, (), options)
        with self._query_runner.locating_errors(expr):
            rows = self._query_runner.arrow(expr)
        if isinstance(expr, ir.Table):
            return rows
        return rows.column(0) if isinstance(expr, ir.Column) else rows.column(0)[0]

    def to_pyarrow_batches(
        self,
        expr: ir.Expr,
        *,
        chunk_size: int = 1_000_000,
        params: Params | None = None,
        limit: int | str | None = None,
    ) -> pa.RecordBatchReader:
        """Execute an expression and return its rows as a stream of record batches."""
        import pyarrow as pa

        expr = limited(bind_params(expr, params), limit)
        operation = self._query_runner.begin()

        def batches() -> Iterator[pa.RecordBatch]:
            with self._query_runner.locating_errors(expr):
                yield from self._batches(expr, chunk_size, operation)

        # Nullability is not part of the batches, so not of their stream either.
        columns = self._planner.plan(expr).final.schema.to_pyarrow()
        schema = pa.schema([field.with_nullable(True) for field in columns])
        schema = mark_json_schema(schema, expr.as_table().schema())
        return pa.RecordBatchReader.from_batches(schema, batches())

    def _batches(
        self, expr: ir.Expr, chunk_size: int, operation: Operation
    ) -> Iterator[pa.RecordBatch]:
        with self._backend.use():
            plan = self._planner.plan(expr)
            if not plan.stages:
                stage_tables = self._plan_runner.stages(plan, operation)
                stream = self._backend.batches(plan.final.to_expr(), stage_tables, chunk_size)
                first = next(stream, None)  # from here on the stream keeps the database open
        if plan.stages:
            stage_tables = self._plan_runner.stages(plan, operation)
            stream = self._backend.batches(plan.final.to_expr(), stage_tables, chunk_size)
            first = next(stream, None)
        if first is not None:
            yield first
        yield from stream

    # Data frames

    def to_pandas(
        self,
        expr: ir.Expr,
        *,
        params: Params | None = None,
        limit: int | str | None = None,
        nullable: bool = True,
    ) -> Any:
        """Execute an expression and return it as a pandas frame, series or value.

        Parameters
        ----------
        nullable
            Whether integers with missing values are pandas' `Int64`, or floats as in Ibis.
        """
        rows = self._unmarked(limited(bind_params(expr, params), limit))
        schema = storage_schema(expr.as_table().schema())
        return pandas_result(expr, rows, schema, nullable=nullable)

    def to_pandas_batches(
        self, expr: ir.Expr, **options: Any
    ) -> Iterator[pd.DataFrame | pd.Series]:
        """Execute an expression and return its rows as pandas frames or series, in batches."""
        import pyarrow as pa

        schema = storage_schema(expr.as_table().schema())
        batches = self.to_pyarrow_batches(expr.as_table(), **options)
        tables = (pa.Table.from_batches([batch]) for batch in batches)
        return (pandas_result(expr, table, schema, nullable=True) for table in tables)

    def to_polars(self, expr: ir.Expr, **options: Any) -> pl.DataFrame | pl.Series | Any:
        """Execute an expression and return it as a polars frame, series or value."""
        return polars_result(expr, self._unmarked(expr.as_table(), **options))

    def to_xlsx(self, expr: ir.Table, path: str | PathLike[str], **options: Any) -> None:
        """Execute an expression and write its rows as an Excel file."""
        query_options = {name: options.pop(name, None) for name in ("params", "limit")}
        with explaining_disk_errors(path), target_file(path) as file:
            batches = self.to_pyarrow_batches(expr, **query_options)
            write_excel(batches, expr.schema(), file, **options)


def _with_source(relation: ops.Relation, backend: BaseBackend) -> ops.Relation:
    """Return a relation whose stored tables belong to an Ibis backend, which looks for that."""
    leaves = {leaf: leaf.copy(source=backend) for leaf in find_nodes(relation, ops.DatabaseTable)}
    return relation.replace(leaves)
