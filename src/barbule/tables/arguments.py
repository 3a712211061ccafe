"""Types of the arguments of table methods: columns, conditions, expressions, sources of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    import ibis.expr.datatypes as dt
    import ibis.expr.schema as sch
    import ibis.expr.types as ir
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from ibis import Deferred

    ColumnLike: TypeAlias = str | ir.Column
    DtypeLike: TypeAlias = dt.DataType | type | str
    SchemaLike: TypeAlias = (
        sch.Schema | Mapping[str, DtypeLike] | Iterable[tuple[str, DtypeLike]] | type
    )
    Expression: TypeAlias = ir.Value | Deferred | Callable[[ir.Table], ir.Value]
    Condition: TypeAlias = ir.BooleanValue | Deferred | Callable[[ir.Table], ir.BooleanValue]
    DataFrame: TypeAlias = pd.DataFrame | pl.DataFrame | pl.LazyFrame
    ArrowSource: TypeAlias = pa.Table | pa.RecordBatch | pa.RecordBatchReader | pa.dataset.Dataset
    RowSource: TypeAlias = (
        Mapping[str, object]
        | Iterable[object]
        | DataFrame
        | ArrowSource
        | ir.Table
        | str
        | os.PathLike[str]
    )

IfExists: TypeAlias = Literal["error", "ignore", "replace", "replace_force"]
IfNotExists: TypeAlias = Literal["error", "ignore"]
OnCellError: TypeAlias = Literal["abort", "null"]
