"""The methods that Ibis calls on the backend of managed tables.

Owns how Ibis' methods map to plans and exports; `engine` owns what they run on.
"""

from __future__ import annotations

import abc
import functools
from typing import TYPE_CHECKING, Any

from barbule.backends.routing import identity
from barbule.errors import UnsupportedError
from barbule.executor.results.exports import EXPORT_METHODS, Exports
from barbule.types import storage_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    import ibis.expr.operations as ops
    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pandas as pd
    import pyarrow as pa

    from barbule.backends.base import Backend
    from barbule.executor.plan_runner import PlanRunner
    from barbule.executor.query_planner import QueryPlanner
    from barbule.executor.query_runner import QueryRunner

__all__ = ["IbisMethods"]

_SQL_ROWS = "bb_sql_rows"


class IbisMethods(abc.ABC):
    """An Ibis backend that runs its expressions on an engine.

    Ibis assumes that an expression has one backend: the database's own is equal to the engine, and
    so are all engines of one database.
    """

    name = "barbule"
    backend: Backend
    planner: QueryPlanner
    runner: PlanRunner
    queries: QueryRunner

    @abc.abstractmethod
    def stored(self, name: str, schema: sch.Schema) -> ops.DatabaseTable:
        """Create the leaf of a table in the backend."""

    @functools.cached_property
    def _exports(self) -> Exports:
        return Exports(self.backend, self.planner, self.runner, self.queries)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if isinstance(other, IbisMethods):
            return self.backend is other.backend
        return getattr(other, "_adapter", None) is self.backend

    def __hash__(self) -> int:
        return hash(identity(self.backend))

    def __getattr__(self, name: str) -> Any:
        if name in EXPORT_METHODS:
            return lambda expr, /, *args, **kwargs: self._exports.export(name, expr, args, kwargs)
        if name.startswith("__") or "backend" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.backend.ibis, name)

    def execute(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **_options: Any,
    ) -> Any:
        """Execute an expression and return it as Ibis does: a pandas frame, series or value."""
        return self._exports.to_pandas(expr, params=params, limit=limit, nullable=False)

    def to_pandas(
        self,
        expr: ir.Expr,
        /,
        *,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **_options: Any,
    ) -> Any:
        """Execute an expression and return it as a pandas frame, series or value.

        Integers with missing values become pandas' `Int64`.
        """
        return self._exports.to_pandas(expr, params=params, limit=limit)

    def to_pandas_batches(
        self, expr: ir.Expr, /, **options: Any
    ) -> Iterator[pd.DataFrame | pd.Series]:
        """Execute an expression and return its rows as pandas frames or series, in batches."""
        return self._exports.to_pandas_batches(expr, **options)

    def to_pyarrow(
        self, expr: ir.Expr, /, **options: Any
    ) -> pa.Table | pa.ChunkedArray | pa.Scalar:
        """Execute an expression and return it as an Arrow table, array or scalar."""
        return self._exports.to_pyarrow(expr, **options)

    def to_pyarrow_batches(
        self,
        expr: ir.Expr,
        /,
        *,
        chunk_size: int = 1_000_000,
        params: Mapping[ir.Scalar, Any] | None = None,
        limit: int | str | None = None,
        **_options: Any,
    ) -> pa.RecordBatchReader:
        """Execute an expression and return its rows as a stream of record batches."""
        return self._exports.to_pyarrow_batches(
            expr, chunk_size=chunk_size, params=params, limit=limit
        )

    def to_polars(self, expr: ir.Expr, /, **options: Any) -> Any:
        """Execute an expression and return it as a polars frame, series or value."""
        return self._exports.to_polars(expr, **options)

    def to_xlsx(self, expr: ir.Table, /, path: str | PathLike[str], **options: Any) -> None:
        """Execute an expression and write its rows as an Excel file."""
        self._exports.to_xlsx(expr, path, **options)

    def compile(self, expr: ir.Expr, /, **kwargs: Any) -> str:
        """Return the SQL of an expression that calls no function."""
        plan = self.planner.plan(expr)
        if plan.stages:
            raise UnsupportedError(
                "an expression that calls functions does not compile to a single SQL statement.",
                hint="Use explain() to see how it runs.",
            )
        return self.backend.ibis.compile(plan.final.to_expr(), **kwargs)

    def _get_sql_string_view_schema(self, *, name: str, table: ir.Table, query: str) -> sch.Schema:
        """Tell Ibis the columns of a SQL query over an expression; nothing is executed."""
        schema = storage_schema(table.schema())
        leaf = self.stored(_SQL_ROWS, schema).to_expr()
        with self.backend.staging({_SQL_ROWS: schema.to_pyarrow().empty_table()}) as backend:
            return backend._get_sql_string_view_schema(name=name, table=leaf, query=query)
